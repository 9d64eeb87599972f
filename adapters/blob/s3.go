package blob

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// s3Parts are the parts of objects of an S3 bucket that were never completed. S3 keeps
// them until somebody says that they are not needed, or a lifecycle rule of the bucket
// does; the other clouds forget theirs after a week.
type s3Parts struct {
	client         *s3.Client
	bucket, prefix string
}

// s3PartsOf are those of a bucket by its URL, nil for one that is not S3's.
func s3PartsOf(b *blob.Bucket, u *url.URL) *s3Parts {
	p := &s3Parts{bucket: u.Host, prefix: u.Query().Get("prefix")}
	if u.Scheme != s3blob.Scheme || !b.As(&p.client) {
		return nil
	}
	return p
}

// remove removes the parts under a key. Where uploads may not be listed, or cannot be,
// they are left to a lifecycle rule: the object itself is deleted all the same.
func (p *s3Parts) remove(ctx context.Context, key string) error {
	key = p.prefix + key
	pages := s3.NewListMultipartUploadsPaginator(p.client, &s3.ListMultipartUploadsInput{Bucket: &p.bucket, Prefix: &key})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if refused(err) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, u := range page.Uploads {
			if u.Key == nil || *u.Key != key {
				continue
			}
			_, err := p.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &p.bucket, Key: &key, UploadId: u.UploadId})
			if err != nil && !refused(err) {
				return err
			}
		}
	}
	return nil
}

// refused reports whether S3 will answer the same when it is asked again.
func refused(err error) bool {
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	return ok && (answer.HTTPStatusCode() < http.StatusInternalServerError || answer.HTTPStatusCode() == http.StatusNotImplemented)
}
