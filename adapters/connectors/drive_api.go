package connectors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/drive/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"trunkline.dev/trunkline/domain/delivery"
)

// driveSession is an attempt with a client.
type driveSession struct {
	*attempt
	config driveConfig
	source *source
	api    *drive.Service
}

func (k driveKind) session(ctx context.Context, a *attempt) (driveSession, error) {
	s := driveSession{attempt: a}
	var err error
	if s.config, err = config[driveConfig](a.endpoint); err != nil {
		return s, err
	}
	s.source = a.source(func(ctx context.Context) (*oauth2.Token, error) {
		t, err := driveAccess(ctx, a.endpoint, s.config)
		return t, driveRefusedToken(err)
	})
	client := a.client()
	client.Transport = signed{source: s.source, next: insistent{a.tape}}
	s.api, err = drive.NewService(ctx, option.WithHTTPClient(client), option.WithEndpoint(a.endpoint.URL+"/drive/v3/"))
	return s, err
}

// insistent calls a lost answer temporary: Google's client then sends a chunk
// again, which the other side takes once.
type insistent struct{ next http.RoundTripper }

func (i insistent) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := i.next.RoundTrip(r)
	if errors.Is(err, io.EOF) {
		err = lost{err}
	}
	return resp, err
}

type lost struct{ error }

func (l lost) Unwrap() error { return l.error }

func (lost) Temporary() bool { return true }

// driveAccess gets an access token by the credentials that there are.
func driveAccess(ctx context.Context, e delivery.Endpoint, c driveConfig) (*oauth2.Token, error) {
	if key := e.Credentials[driveKey]; key != "" {
		conf, err := google.JWTConfigFromJSON([]byte(key), drive.DriveScope)
		if err != nil {
			return nil, failure(0, "the key of the service account cannot be read")
		}
		conf.Subject = c.Subject
		return conf.TokenSource(ctx).Token()
	}
	at := driveToken
	if c.BaseURL != "" {
		at = e.URL + "/token"
	}
	conf := oauth2.Config{
		ClientID: e.Credentials["client_id"], ClientSecret: e.Credentials["client_secret"], Endpoint: oauth2.Endpoint{TokenURL: at, AuthStyle: oauth2.AuthStyleInParams},
	}
	return conf.TokenSource(ctx, &oauth2.Token{RefreshToken: e.Credentials["refresh_token"]}).Token()
}

func driveRefusedToken(err error) error {
	re, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return err
	}
	p := refusedToken(err, "Google")
	var said *problem
	if errors.As(p, &said) {
		switch {
		case re.ErrorCode == "unauthorized_client":
			said.hint = "The service account has no domain-wide delegation for the scope https://www.googleapis.com/auth/drive; grant it in the Admin console under API controls"
		case strings.Contains(re.ErrorDescription+string(re.Body), "account not found"):
			said.hint = "The service account was deleted, or subject is no user of the domain"
		case re.ErrorCode == "invalid_grant":
			said.hint = "The key or the refresh token was revoked, subject is no user, or the clock of this machine is wrong"
		}
	}
	return p
}

// driveTrap is what has become of seed 000's recipe.
const driveTrap = "A service account has no storage of its own, so it cannot keep files in a folder of somebody's My Drive, although the folder is shared with it. " +
	"Use a folder in a shared drive and make the service account a member (Content manager), or set subject to a user and grant domain-wide delegation, " +
	"or sign in as a user with client_id, client_secret and refresh_token"

var driveHints = map[string]string{
	"storageQuotaExceeded":              driveTrap,
	"teamDriveFileLimitExceeded":        "The shared drive is full",
	"notFound":                          "There is no such folder, or it is not shared with who signs in",
	"insufficientFilePermissions":       "Give who signs in the right to add files to the folder (Editor, or Content manager in a shared drive)",
	"insufficientParentPermissions":     "Give who signs in the right to add files to the folder (Editor, or Content manager in a shared drive)",
	"accessNotConfigured":               "Enable the Google Drive API in the Google Cloud project of the credentials",
	"SERVICE_DISABLED":                  "Enable the Google Drive API in the Google Cloud project of the credentials",
	"insufficientPermissions":           "The credentials lack the scope https://www.googleapis.com/auth/drive",
	"authError":                         "The credentials are not valid any more",
	"domainPolicy":                      "The domain's administrators have disabled Drive apps",
	"sharingRateLimitExceeded":          "The daily limit of sharing is reached",
	"dailyLimitExceeded":                "The project's daily limit of requests is reached",
	"cannotAddParent":                   "Who signs in may not add files to the folder",
	"parentNotAFolder":                  "folder_id is not the id of a folder",
	"numChildrenInNonRootLimitExceeded": "The folder holds as many files as Drive allows; use subfolders",
}

// refused puts what Google said into words.
func (s driveSession) refused(err error) error {
	var ge *googleapi.Error
	if !errors.As(err, &ge) {
		return err
	}
	reason := ""
	if len(ge.Errors) > 0 {
		reason = ge.Errors[0].Reason
	}
	p := failure(ge.Code, "Google answered %d %s: %s", ge.Code, reason, clip(ge.Message, 300))
	p.hint, p.retryAfter = driveHints[reason], retryAfter(ge.Header, s.set.cfg.Clock())
	switch reason {
	case "rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "dailyLimitExceeded":
		p.status = http.StatusTooManyRequests
	}
	return p
}

func (k driveKind) inspect(ctx context.Context, a *attempt) {
	s, err := k.session(ctx, a)
	if err != nil {
		a.tape.failed(err)
		return
	}
	if !a.try("sign in", func() (string, error) {
		_, err := s.source.token(ctx, nil)
		return "Google gave an access token", err
	}) {
		return
	}
	if !a.try("folder", func() (string, error) { return s.checkFolder(ctx) }) {
		return
	}
	a.try("upload a test file and delete it", func() (string, error) { return s.checkUpload(ctx) })
}

func (s driveSession) checkFolder(ctx context.Context) (string, error) {
	f, err := s.api.Files.Get(s.config.FolderID).SupportsAllDrives(true).Fields("id,name,mimeType,driveId,trashed,capabilities(canAddChildren)").Context(ctx).Do()
	switch {
	case err != nil:
		return "", s.refused(err)
	case f.MimeType != driveFolder:
		return "", failure(0, "%s is a file, not a folder", f.Name)
	case f.Trashed:
		return "", failure(0, "the folder %s is in the trash", f.Name)
	case f.Capabilities != nil && !f.Capabilities.CanAddChildren:
		return "", failure(0, "nothing may be added to the folder %s", f.Name).but(driveHints["insufficientParentPermissions"])
	}
	where := "My Drive"
	if f.DriveId != "" {
		where = "a shared drive"
	}
	return fmt.Sprintf("%s, in %s", f.Name, where), nil
}

// checkUpload finds out what no permission tells: whether there is room.
func (s driveSession) checkUpload(ctx context.Context) (string, error) {
	name := "Trunkline set-up check " + s.set.cfg.Clock().UTC().Format(time.RFC3339)
	f, err := s.api.Files.Create(&drive.File{Name: name, Parents: []string{s.config.FolderID}}).SupportsAllDrives(true).Fields("id").
		Media(strings.NewReader("This file may be deleted."), googleapi.ContentType("text/plain")).Context(ctx).Do()
	if err != nil {
		return "", s.refused(err)
	}
	if err = s.api.Files.Delete(f.Id).SupportsAllDrives(true).Context(ctx).Do(); err == nil {
		return "files can be uploaded", nil
	}
	// A content manager of a shared drive may move files to the trash only.
	if _, err = s.api.Files.Update(f.Id, &drive.File{Trashed: true}).SupportsAllDrives(true).Context(ctx).Do(); err != nil {
		return "files can be uploaded; the test file is still there: " + name, nil //nolint:nilerr // what was asked works
	}
	return "files can be uploaded; the test file is in the trash", nil
}
