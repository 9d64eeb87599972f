package kms

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/api/option"

	"trunkline.dev/trunkline/adapters/kms/kmstest"
)

// switched is a stand-in as these tests handle it.
type switched interface {
	Away(status int)
	AddKey(t testing.TB, name string)
}

// vendors under test: a key that exists, one that does not, the stand-in.
type underTest struct {
	name           string
	known, unknown string
	keyName        string
	start          func(t *testing.T) (service switched, open func(t *testing.T, uri string) *Key)
}

func opened(t *testing.T, uri string) *Key {
	t.Helper()
	k, err := Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func all() []underTest {
	const arn, resource = "arn:aws:kms:eu-west-1:111122223333:key/", "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/"
	return []underTest{
		{
			name: "AWS", keyName: arn + "1234abcd-12ab-34cd-56ef-1234567890ab",
			known: "aws-kms://" + arn + "1234abcd-12ab-34cd-56ef-1234567890ab", unknown: "aws-kms://" + arn + "other",
			start: func(t *testing.T) (switched, func(*testing.T, string) *Key) {
				a := kmstest.NewAWS(t)
				t.Setenv("AWS_ENDPOINT_URL_KMS", a.URL)
				t.Setenv("AWS_ACCESS_KEY_ID", a.AccessKeyID)
				t.Setenv("AWS_SECRET_ACCESS_KEY", a.SecretAccessKey)
				return a, opened
			},
		},
		{
			name: "Google Cloud", keyName: resource + "k", known: "gcp-kms://" + resource + "k", unknown: "gcp-kms://" + resource + "other",
			start: func(t *testing.T) (switched, func(*testing.T, string) *Key) {
				g := kmstest.NewGCP(t)
				return g, func(t *testing.T, uri string) *Key {
					t.Helper()
					if err := Check(uri); err != nil {
						t.Fatal(err)
					}
					held, err := openGCPWith(t.Context(), uri, option.WithEndpoint(g.URL), option.WithoutAuthentication())
					if err != nil {
						t.Fatal(err)
					}
					return newKey(uri, remote{held, refusedByGCP})
				}
			},
		},
		{
			name: "Vault", keyName: "trunkline", known: "hcvault:///transit/keys/trunkline", unknown: "hcvault:///transit/keys/other",
			start: func(t *testing.T) (switched, func(*testing.T, string) *Key) {
				v := kmstest.NewVault(t)
				t.Setenv("VAULT_ADDR", v.URL)
				t.Setenv("VAULT_TOKEN", v.Token)
				return v, opened
			},
		},
	}
}

// TestKeys is not parallel: the vendors' clients read the environment.
func TestKeys(t *testing.T) {
	for _, v := range all() {
		t.Run(v.name, func(t *testing.T) {
			service, open := v.start(t)
			service.AddKey(t, v.keyName)
			k := open(t, v.known)
			if k.URI() != v.known {
				t.Errorf("the key is %s", k.URI())
			}
			// More than AWS takes at once: it must not matter.
			text := bytes.Repeat([]byte("keyset "), 2000)
			sealed, err := k.Seal(text, "a purpose")
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(sealed, []byte("keyset")) {
				t.Error("the text stands in what was sealed")
			}
			if got, err := k.Open(sealed, "a purpose"); err != nil || !bytes.Equal(got, text) {
				t.Errorf("opened %d bytes: %v", len(got), err)
			}
			if again, err := k.Seal(text, "a purpose"); err != nil || bytes.Equal(again, sealed) {
				t.Errorf("sealed twice it is the same: %v", err)
			}

			refused := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, ErrRefused) {
					t.Errorf("%s: %v, want a refusal", what, err)
				}
				if err != nil && strings.ContainsAny(err.Error(), "\r\n") {
					t.Errorf("%s: more than a line: %q", what, err)
				}
			}
			_, err = k.Open(sealed, "another purpose")
			refused("another purpose", err)
			broken := bytes.Clone(sealed)
			broken[len(broken)-1] ^= 1
			_, err = k.Open(broken, "a purpose")
			refused("a broken text", err)
			broken = bytes.Clone(sealed)
			broken[20] ^= 1
			_, err = k.Open(broken, "a purpose")
			refused("a broken data key", err)
			_, err = k.Open([]byte("x"), "a purpose")
			refused("no envelope", err)
			_, err = open(t, v.unknown).Seal(text, "a purpose")
			refused("an unknown key", err)
			_, err = open(t, v.unknown).Open(sealed, "a purpose")
			refused("a key that is not there any more", err)

			for _, status := range []int{http.StatusServiceUnavailable, http.StatusInternalServerError} {
				service.Away(status)
				_, err := k.Open(sealed, "a purpose")
				if err == nil || errors.Is(err, ErrRefused) {
					t.Errorf("while the service answers %d: %v, want an error that waiting mends", status, err)
				}
			}
			service.Away(0)
			if _, err := k.Open(sealed, "a purpose"); err != nil {
				t.Errorf("when the service is back: %v", err)
			}
		})
	}
}

func TestWrongCredentialsAreRefused(t *testing.T) {
	for _, v := range all() {
		if v.name == "Google Cloud" {
			continue // its stand-in is spoken to without any
		}
		t.Run(v.name, func(t *testing.T) {
			service, open := v.start(t)
			service.AddKey(t, v.keyName)
			t.Setenv("VAULT_TOKEN", "a-wrong-token")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")
			_, err := open(t, v.known).Seal([]byte("x"), "")
			if !errors.Is(err, ErrRefused) {
				t.Errorf("got %v, want a refusal", err)
			}
			if err != nil && strings.Contains(err.Error(), "a-wrong") {
				t.Errorf("the credential is in the error: %v", err)
			}
		})
	}
}

func TestWhatIsDamagedOnTheWayIsNotTaken(t *testing.T) {
	t.Parallel()
	g := kmstest.NewGCP(t)
	const name = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
	g.AddKey(t, name)
	held, err := openGCPWith(t.Context(), gcpScheme+name, option.WithEndpoint(g.URL), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	k := newKey(gcpScheme+name, remote{held, refusedByGCP})
	sealed, err := k.Seal([]byte("text"), "")
	if err != nil {
		t.Fatal(err)
	}
	g.Damage.Store(true)
	if _, err := k.Seal([]byte("text"), ""); !errors.Is(err, errDamaged) || errors.Is(err, ErrRefused) {
		t.Errorf("sealing: %v", err)
	}
	if _, err := k.Open(sealed, ""); !errors.Is(err, errDamaged) || errors.Is(err, ErrRefused) {
		t.Errorf("opening: %v", err)
	}
}

func TestAServiceThatIsNotThereIsWaitedFor(t *testing.T) {
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
	t.Setenv("VAULT_TOKEN", "x")
	if _, err := opened(t, "hcvault:///transit/keys/k").Seal([]byte("x"), ""); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want an error that waiting mends", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"aws-kms://arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", "aws-kms://arn:aws-us-gov:kms:us-gov-west-1:1:alias/trunkline",
		"gcp-kms://projects/p/locations/global/keyRings/r/cryptoKeys/k", "hcvault://vault.example.com:8200/transit/keys/k", "hcvault:///team/a/transit/keys/k",
	} {
		if err := Check(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{
		"", "k", "file:///etc/key", "aws-kms://", "aws-kms://alias/k", "aws-kms://arn:aws:s3:::bucket", "gcp-kms://projects/p", "hcvault://", "hcvault:///transit/k",
		"hcvault:///keys/k", "hcvault:///transit/keys/", "hcvault://user:token@vault/transit/keys/k", "hcvault://vault/transit/keys/k?token=x", "azure-kms://x",
	} {
		err := Check(uri)
		if err == nil || !strings.Contains(err.Error(), "expected ") || strings.ContainsAny(err.Error(), "\n@?") {
			t.Errorf("%q: %v", uri, err)
		}
	}
}
