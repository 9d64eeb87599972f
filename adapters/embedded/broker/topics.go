package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicsFile is where kfake keeps which topics there are, beside the partitions.
const topicsFile = "topics.json"

// refuseUnkept lets no topic be created that cannot be written down. kfake goes on
// without, and acknowledges facts of the topic; after a restart it would be a new one,
// whose first facts stand in the former's files and are read as the former's.
func refuseUnkept(c *kfake.Cluster, dir string) {
	c.ControlKey(int16(kmsg.CreateTopics), func(asked kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := asked.(*kmsg.CreateTopicsRequest)
		if req.ValidateOnly {
			return nil, nil, false
		}
		err := roomForTopics(dir)
		if err == nil {
			return nil, nil, false
		}
		why := fmt.Sprintf("the list of topics cannot be written: %v", err)
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, t := range req.Topics {
			refused := kmsg.NewCreateTopicsResponseTopic()
			refused.Topic, refused.ErrorCode, refused.ErrorMessage = t.Topic, kerr.KafkaStorageError.Code, &why
			resp.Topics = append(resp.Topics, refused)
		}
		return resp, nil, true
	})
}

// roomForTopics writes what kfake is about to write, and more, to the same place.
func roomForTopics(dir string) error {
	path := filepath.Join(dir, topicsFile+".tmp")
	size := int64(64 << 10)
	if info, err := os.Stat(filepath.Join(dir, topicsFile)); err == nil {
		size += info.Size()
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, size))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), os.Remove(path))
}

// kept are the folders of the partitions that the list of topics names.
func kept(dir string) (map[string]bool, error) {
	raw, err := os.ReadFile(filepath.Join(dir, topicsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list struct {
		Topics []struct {
			Name       string `json:"name"`
			Partitions int    `json:"partitions"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", topicsFile, err)
	}
	folders := make(map[string]bool)
	for _, t := range list.Topics {
		for id := range t.Partitions {
			folders[fmt.Sprintf("%s-%d", url.PathEscape(t.Name), id)] = true
		}
	}
	return folders, nil
}
