package kmstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// AWS is AWS KMS by its JSON 1.1 protocol. Keys are named by their ARN.
type AWS struct {
	service
	// AccessKeyID and SecretAccessKey are the credentials that it knows.
	AccessKeyID, SecretAccessKey string
}

// NewAWS starts one.
func NewAWS(t testing.TB) *AWS {
	a := &AWS{AccessKeyID: "AKIATESTTESTTESTTEST", SecretAccessKey: "a-secret-access-key-of-the-tests"}
	a.start(t, a.serve)
	return a
}

// maxPlaintext is what Encrypt takes with a symmetric key.
const maxPlaintext = 4096

func (a *AWS) serve(w http.ResponseWriter, r *http.Request) {
	if status, away := a.isAway(); away {
		awsError(w, status, "KMSInternalException", "an internal failure")
		return
	}
	body, err := io.ReadAll(r.Body)
	action, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	if err != nil || !ok || r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		awsError(w, http.StatusBadRequest, "UnknownOperationException", "")
		return
	}
	if code := a.signedWrong(r, body); code != "" {
		awsError(w, http.StatusBadRequest, code, "The security token included in the request is invalid.")
		return
	}
	var in struct {
		KeyID             string            `json:"KeyId"`
		Plaintext         []byte            `json:"Plaintext"`
		CiphertextBlob    []byte            `json:"CiphertextBlob"`
		EncryptionContext map[string]string `json:"EncryptionContext"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		awsError(w, http.StatusBadRequest, "SerializationException", err.Error())
		return
	}
	key, ok := a.key(in.KeyID)
	if !ok {
		awsError(w, http.StatusBadRequest, "NotFoundException", "Key '"+in.KeyID+"' does not exist")
		return
	}
	about, err := json.Marshal(in.EncryptionContext)
	if err != nil {
		awsError(w, http.StatusBadRequest, "ValidationException", err.Error())
		return
	}
	switch {
	case action == "Encrypt" && len(in.Plaintext) > 0 && len(in.Plaintext) <= maxPlaintext:
		awsAnswer(w, map[string]any{"CiphertextBlob": key.Seal(nil, nil, in.Plaintext, about), "KeyId": in.KeyID, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	case action == "Decrypt" && len(in.CiphertextBlob) > 0:
		text, err := open(key, in.CiphertextBlob, about)
		if err != nil {
			awsError(w, http.StatusBadRequest, "InvalidCiphertextException", "")
			return
		}
		awsAnswer(w, map[string]any{"Plaintext": text, "KeyId": in.KeyID, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	default:
		awsError(w, http.StatusBadRequest, "ValidationException", "1 validation error detected")
	}
}

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([a-z0-9-]+)/kms/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$`)

// signedWrong makes the signature again, as the service does.
func (a *AWS) signedWrong(r *http.Request, body []byte) (code string) {
	sent := r.Header.Get("Authorization")
	parts := authorization.FindStringSubmatch(sent)
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if parts == nil || err != nil {
		return "MissingAuthenticationTokenException"
	}
	if parts[1] != a.AccessKeyID {
		return "UnrecognizedClientException"
	}
	again := r.Clone(r.Context())
	again.Header = http.Header{}
	for name := range strings.SplitSeq(parts[4], ";") {
		if v := r.Header.Values(name); len(v) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = v
		}
	}
	again.URL.Scheme, again.URL.Host = "http", r.Host
	again.ContentLength = int64(len(body))
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey}
	if err := v4.NewSigner().SignHTTP(r.Context(), creds, again, hex.EncodeToString(sum[:]), "kms", parts[3], at); err != nil || again.Header.Get("Authorization") != sent {
		return "InvalidSignatureException"
	}
	return ""
}

func awsAnswer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(v)
}

func awsError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
}
