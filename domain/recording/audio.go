package recording

import (
	"mime"
	"path"
	"strings"
)

// MaxBytes is the largest recording that is kept.
const MaxBytes = 512 << 20

// types are the media types by format, the name of the container.
var types = map[string]string{
	"mp3": "audio/mpeg", "mpeg": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg", "oga": "audio/ogg", "opus": "audio/ogg",
	"m4a": "audio/mp4", "mp4": "audio/mp4", "aac": "audio/aac", "flac": "audio/flac", "webm": "audio/webm", "amr": "audio/amr", "wma": "audio/x-ms-wma",
}

// spellings are the other names of media types that are met in the wild.
var spellings = map[string]string{
	"audio/mp3": "audio/mpeg", "audio/x-mp3": "audio/mpeg", "audio/mpeg3": "audio/mpeg", "audio/x-mpeg": "audio/mpeg", "audio/x-mpeg-3": "audio/mpeg",
	"audio/wave": "audio/wav", "audio/x-wav": "audio/wav", "audio/vnd.wave": "audio/wav", "application/ogg": "audio/ogg",
	"audio/x-m4a": "audio/mp4", "audio/x-flac": "audio/flac",
}

// generic are what servers say that do not know what they serve.
var generic = map[string]bool{
	"": true, "application/octet-stream": true, "binary/octet-stream": true, "application/binary": true, "application/x-binary": true,
	"application/force-download": true, "application/download": true,
}

// ContentType decides what kind of audio was offered, from what is known of it:
// the declared media type, the one that its first bytes show (sniffed, as
// net/http.DetectContentType says), the source's word for the format, and the
// path that it was fetched from. It reports false for what is no audio: a log-in
// page, an error in JSON. What a source that names a format serves without a
// media type is believed.
func ContentType(declared, sniffed, format, from string) (string, bool) {
	declared, sniffed = mediaType(declared), mediaType(sniffed)
	switch sniffed {
	case "text/html", "text/xml", "application/pdf":
		return "", false // whatever it is called
	}
	if audible(declared) {
		return declared, true
	}
	told := types[strings.ToLower(strings.TrimPrefix(format, "."))]
	if told == "" {
		told = types[strings.ToLower(strings.TrimPrefix(path.Ext(from), "."))]
	}
	switch {
	case !generic[declared] && (declared != "text/plain" || told == ""):
		return "", false
	case audible(sniffed):
		return sniffed, true
	case told != "":
		return told, true
	case strings.HasPrefix(sniffed, "text/"), strings.HasPrefix(sniffed, "image/"):
		return "", false
	}
	return "application/octet-stream", true
}

// Format is the name of the container of a media type, "" when it has none.
func Format(contentType string) string {
	switch mediaType(contentType) {
	case "audio/mpeg":
		return "mp3"
	case "audio/wav":
		return "wav"
	case "audio/ogg":
		return "ogg"
	case "audio/mp4":
		return "m4a"
	case "audio/flac":
		return "flac"
	case "audio/webm":
		return "webm"
	}
	return ""
}

func audible(mediaType string) bool {
	return strings.HasPrefix(mediaType, "audio/") || strings.HasPrefix(mediaType, "video/")
}

// mediaType is a media type in its usual spelling, without parameters.
func mediaType(s string) string {
	t, _, err := mime.ParseMediaType(s)
	if err != nil {
		t, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(s)), ";")
	}
	if usual, ok := spellings[t]; ok {
		return usual
	}
	return t
}
