package connectors

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"trunkline.dev/trunkline/domain/delivery"
)

// s3Kind keeps recordings in a bucket of S3 or of whatever speaks its protocol.
// The key of a recording follows from its call, so to upload it again is to find
// it there. What has the key already is looked at first, and nothing is written
// over: two of one name may come at once.
type s3Kind struct{ set *Set }

type s3Config struct {
	Bucket string `json:"bucket"`
	Region string `json:"region"`
	// Endpoint is the server, for other systems than AWS.
	Endpoint string `json:"endpoint"`
	// PathStyle puts the bucket into the path; true with an endpoint unless said
	// otherwise.
	PathStyle *bool `json:"path_style"`
	// Key is a template of object keys without extension.
	Key string `json:"key"`
}

const (
	s3Key    = "{list.name}/{lead.name} - {timestamp}"
	s3Region = "us-east-1"
	// s3Part is what an upload holds in memory; with 10,000 parts it is enough for
	// any recording.
	s3Part = 8 << 20
	// s3Recording is the metadata of an object that names its recording.
	s3Recording = "trunkline-recording-id"
)

var (
	s3Bucket = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	s3Name   = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
)

func (s3Kind) name() string { return "s3" }

func (s3Kind) triggers() triggers { return copies() }

func (s3Kind) texts() bool { return false }

func (k s3Kind) prepare(f *faults, e *delivery.Endpoint) {
	c := read[s3Config](f, e)
	f.noMapping(e)
	f.credentials(e, []string{"access_key_id", "secret_access_key"}, []string{"session_token"})
	if !s3Bucket.MatchString(c.Bucket) {
		f.add("/config/bucket", "expected the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens")
	}
	if c.Region != "" && !s3Name.MatchString(c.Region) {
		f.add("/config/region", "expected a region such as %s", s3Region)
	}
	if c.Region == "" {
		c.Region = s3Region
	}
	e.URL = f.address(k.set, "/config/endpoint", c.Endpoint, "https://s3."+c.Region+".amazonaws.com")
	f.template("/config/key", c.Key)
	if strings.HasPrefix(c.Key, "/") || strings.HasSuffix(c.Key, "/") {
		f.add("/config/key", "a key neither begins nor ends with /")
	}
}

// s3Session is an attempt with a client.
type s3Session struct {
	*attempt
	config s3Config
	api    *s3.Client
}

func (k s3Kind) session(a *attempt) (s3Session, error) {
	s := s3Session{attempt: a}
	var err error
	if s.config, err = config[s3Config](a.endpoint); err != nil {
		return s, err
	}
	if s.config.Region == "" {
		s.config.Region = s3Region
	}
	if s.config.Key == "" {
		s.config.Key = s3Key
	}
	cred := a.endpoint.Credentials
	o := s3.Options{
		Region: s.config.Region, Credentials: credentials.NewStaticCredentialsProvider(cred["access_key_id"], cred["secret_access_key"], cred["session_token"]),
		HTTPClient: a.client(), RetryMaxAttempts: 3,
		// Others than AWS do not all know the newer checksums. Parts are signed.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}
	if s.config.Endpoint != "" {
		o.BaseEndpoint = aws.String(a.endpoint.URL)
		o.UsePathStyle = s.config.PathStyle == nil || *s.config.PathStyle
	} else if s.config.PathStyle != nil {
		o.UsePathStyle = *s.config.PathStyle
	}
	s.api = s3.New(o)
	return s, nil
}

func (k s3Kind) deliver(ctx context.Context, a *attempt) error {
	if !a.copyable() {
		return nil
	}
	s, err := k.session(a)
	if err != nil {
		return err
	}
	for _, key := range s.keys() {
		a.tape.step("find the recording")
		there, taken, err := s.at(ctx, key)
		if err != nil || there {
			return s.refused(err)
		}
		if taken {
			a.tape.done("%s is another recording's", key)
			continue
		}
		a.tape.done("it is not there yet")
		a.tape.step("upload the recording")
		status, err := s.upload(ctx, key)
		if status != http.StatusPreconditionFailed {
			return err
		}
		// A namesake's was faster, or the answer to our own bytes was lost.
		a.tape.done("something has the key by now")
		a.tape.step("find the recording")
		if there, _, err = s.at(ctx, key); err != nil || there {
			return s.refused(err)
		}
		a.tape.done("%s is another recording's", key)
	}
	return failure(0, "%s is another recording's", s.key())
}

// keys are where the recording may be. The first, when another recording has it, of
// a namesake in the same second, is left to that one.
func (s s3Session) keys() []string {
	name := s.key()
	return []string{name + s.extension(), name + " (" + fileName(s.doc.Recording.ID) + ")" + s.extension()}
}

// at reports whether the recording has a key, or another one.
func (s s3Session) at(ctx context.Context, key string) (there, taken bool, err error) {
	head, err := s.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.config.Bucket, Key: &key})
	switch status := statusOf(err); {
	case err == nil && head.Metadata[s3Recording] == url.QueryEscape(s.doc.Recording.ID):
		s.tape.done("it is there: %s", key)
		return true, false, nil
	case err == nil:
		return false, true, nil
	case status == http.StatusNotFound, status == http.StatusForbidden:
		// Who may not list a bucket is told 403 for what does not exist.
		return false, false, nil
	}
	return false, false, err
}

// upload writes the recording where nothing is, and returns the server's status if
// it refused. One that knows no such condition is written to without it.
func (s s3Session) upload(ctx context.Context, key string) (status int, err error) {
	err = s.write(ctx, key, aws.String("*"))
	if unconditional(err) {
		err = s.write(ctx, key, nil)
	}
	return statusOf(err), s.refused(err)
}

// unconditional reports whether a server says that it knows no condition of a write.
// Others of its 400s say that the bytes did not come, or in time; written without the
// condition then, they would replace a namesake's.
func unconditional(err error) bool {
	said, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch statusOf(err) {
	case http.StatusNotImplemented:
		return true
	case http.StatusBadRequest:
		return slices.Contains([]string{"NotImplemented", "InvalidArgument", "InvalidRequest"}, said.ErrorCode()) ||
			strings.Contains(strings.ToLower(said.ErrorMessage()), "if-none-match")
	}
	return false
}

func (s s3Session) write(ctx context.Context, key string, unless *string) error {
	audio, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = audio.Close() }()
	up := transfermanager.New(s.api, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency, o.FailTimeout = s3Part, s3Part, 1, 10*time.Second
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})
	_, err = up.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: &s.config.Bucket, Key: &key, Body: audio, ContentType: &audio.ContentType, IfNoneMatch: unless,
		Metadata: map[string]string{s3Recording: url.QueryEscape(s.doc.Recording.ID), "trunkline-call-id": url.QueryEscape(s.doc.Call.ID)},
	})
	if err != nil {
		return err
	}
	s.tape.done("%s in bucket %s, %d bytes", key, s.config.Bucket, audio.Size)
	return nil
}

// key fills in the template. Values cannot bring folders of their own; an empty
// one leaves its folder out.
func (s s3Session) key() string {
	tpl := s.config.Key
	if s.doc.Lead.Name == "" {
		tpl = strings.ReplaceAll(tpl, "{lead.name}", s.doc.title())
	}
	var parts []string
	for part := range strings.SplitSeq(s.look.expand(tpl, fileName), "/") {
		if part = fileName(part); part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return s.doc.Call.ID
	}
	return strings.Join(parts, "/")
}

func statusOf(err error) int {
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return re.HTTPStatusCode()
	}
	return 0
}

var s3Hints = map[string]string{
	"AccessDenied":                       "The key may not do this; it needs s3:PutObject and s3:GetObject on the bucket's objects, for the check also s3:DeleteObject",
	"Forbidden":                          "The key may not do this; it needs s3:PutObject and s3:GetObject on the bucket's objects, for the check also s3:DeleteObject",
	"NoSuchBucket":                       "There is no such bucket; look at bucket, region and endpoint",
	"NotFound":                           "There is no such bucket; look at bucket, region and endpoint",
	"InvalidAccessKeyId":                 "The access_key_id does not exist there",
	"SignatureDoesNotMatch":              "The secret_access_key does not belong to the access_key_id",
	"PermanentRedirect":                  "The bucket is in another region; set region",
	"MovedPermanently":                   "The bucket is in another region; set region",
	"AuthorizationHeaderMalformed":       "The bucket is in another region; set region",
	"IllegalLocationConstraintException": "The bucket is in another region; set region",
	"RequestTimeTooSkewed":               "The clock of this machine is wrong",
	"ExpiredToken":                       "The session_token has expired",
	"QuotaExceeded":                      "The bucket is full",
	"EntityTooLarge":                     "The server does not take files as large as this",
}

// refused puts what the server said into words.
func (s s3Session) refused(err error) error {
	var api smithy.APIError
	if err == nil || !errors.As(err, &api) {
		return unwrapOperation(err)
	}
	p := failure(statusOf(err), "the server answered %d %s", statusOf(err), api.ErrorCode())
	if m := api.ErrorMessage(); m != "" && m != api.ErrorCode() {
		p.what += ": " + clip(m, 300)
	}
	p.hint = s3Hints[api.ErrorCode()]
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && re.Response != nil {
		p.retryAfter = retryAfter(re.Response.Header, s.set.cfg.Clock())
	}
	return p
}

// unwrapOperation leaves out what the SDK says around an error of the network.
func unwrapOperation(err error) error {
	if ne := net.Error(nil); errors.As(err, &ne) {
		return ne
	}
	return err
}

func (k s3Kind) inspect(ctx context.Context, a *attempt) {
	s, err := k.session(a)
	if err != nil {
		a.tape.failed(err)
		return
	}
	// Not HEAD of the bucket: who may only write may not do that, and its answer has
	// no body that would say what is wrong.
	key := ".trunkline-check-" + strings.ToLower(rand.Text())
	if !a.try("upload a test file", func() (string, error) {
		_, err := s.api.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.config.Bucket, Key: &key, Body: strings.NewReader("This file may be deleted."), ContentType: aws.String("text/plain")})
		return fmt.Sprintf("%s was uploaded", key), s.refused(err)
	}) {
		return
	}
	a.try("look at it and delete it", func() (string, error) {
		_, headErr := s.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.config.Bucket, Key: &key})
		if _, err := s.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.config.Bucket, Key: &key}); err != nil {
			return "", s.refused(err)
		}
		return "files can be looked at and deleted", s.refused(headErr)
	})
}
