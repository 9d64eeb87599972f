package kms

import (
	"context"
	"errors"
	"regexp"
	"slices"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/tink"
)

var awsKey = regexp.MustCompile(`^aws-kms://arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]+:(key|alias)/[A-Za-z0-9/_-]+$`)

func checkAWS(uri string) bool { return awsKey.MatchString(uri) }

func openAWS(ctx context.Context, uri string) (tink.AEAD, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(awsKey.FindStringSubmatch(uri)[1]),
		config.WithRetryMaxAttempts(1), // whoever calls tries again, and says so
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(timeout)),
	)
	if err != nil {
		return nil, err
	}
	held, err := awskms.NewClientWithOptions(ctx, uri, awskms.WithKMS(kms.NewFromConfig(cfg)))
	if err != nil {
		return nil, err
	}
	return held.GetAEAD(uri)
}

// refusedByAWS tells refusals from faults by the code: AWS answers both with 400.
func refusedByAWS(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	transient := []string{
		"DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException", "ThrottlingException", "Throttling",
		"RequestLimitExceeded", "TooManyRequestsException", "ServiceUnavailableException", "InternalFailure", "ExpiredTokenException",
	}
	return api.ErrorFault() == smithy.FaultClient && !slices.Contains(transient, api.ErrorCode()) ||
		api.ErrorFault() == smithy.FaultUnknown && !slices.Contains(transient, api.ErrorCode())
}
