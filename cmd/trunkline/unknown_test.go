package main

import (
	"strings"
	"testing"
)

// TestAMisspelledSettingStopsTheStart has one that would otherwise be ignored, and the
// guard stay shut.
func TestAMisspelledSettingStopsTheStart(t *testing.T) {
	t.Parallel()
	h := newHub(t, map[string]string{"TRUNKLINE_WEBHOOK_ALLOW_HTTP": "true"})
	refusedStart(t, h, 2, "TRUNKLINE_WEBHOOK_ALLOW_HTTP: ", "TRUNKLINE_WEBHOOKS_ALLOW_HTTP")
}

func TestUnknownSettingsAreNamedWithTheClosest(t *testing.T) {
	t.Parallel()
	for variable, closest := range map[string]string{
		"TRUNKLINE_WEBHOOKS_ALLOW_CIDR=10.0.0.0/8": "TRUNKLINE_WEBHOOKS_ALLOW_CIDRS",
		"TRUNKLINE_KAFKA_BROKER=a:9092":            "TRUNKLINE_KAFKA_BROKERS",
		"TRUNKLINE_POSTGRESQL_URL=":                "TRUNKLINE_POSTGRES_URL",
		"TRUNKLINE_HTTP_PORT=8080":                 "TRUNKLINE_HTTP_ADDR", // no link: these hold addresses
		"TRUNKLINE_ADMIN_KEY_NAME=root":            "TRUNKLINE_ADMIN_KEY",
	} {
		err := unknownSettings([]string{variable})
		name, _, _ := strings.Cut(variable, "=")
		if err == nil || !strings.HasPrefix(err.Error(), name+": ") || !strings.HasSuffix(err.Error(), " "+closest) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", variable, err, closest)
		}
	}
	if err := unknownSettings([]string{"TRUNKLINE_A=", "TRUNKLINE_B="}); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two of them: %v", err)
	}
}

// TestWhatOthersSetStopsNoStart has what stands in the environment of a pod beside
// Services named trunkline and trunkline-postgres, of a container that is linked to
// another, and of a shell that is used for the commands too.
func TestWhatOthersSetStopsNoStart(t *testing.T) {
	t.Parallel()
	environ := []string{
		"PATH=/bin", "TRUNKLINES=1", "trunkline_http_addr=x",
		"TRUNKLINE_SERVICE_HOST=10.0.0.11",
		"TRUNKLINE_SERVICE_PORT=8080",
		"TRUNKLINE_SERVICE_PORT_HTTP=8080",
		"TRUNKLINE_PORT=tcp://10.0.0.11:8080",
		"TRUNKLINE_PORT_8080_TCP=tcp://10.0.0.11:8080",
		"TRUNKLINE_PORT_8080_TCP_PROTO=tcp",
		"TRUNKLINE_PORT_8080_TCP_PORT=8080",
		"TRUNKLINE_PORT_8080_TCP_ADDR=10.0.0.11",
		"TRUNKLINE_POSTGRES_SERVICE_HOST=10.0.0.12",
		"TRUNKLINE_POSTGRES_PORT=tcp://10.0.0.12:5432",
		"TRUNKLINE_POSTGRES_PORT_5432_TCP_ADDR=10.0.0.12",
		"TRUNKLINE_DB_NAME=/hub/trunkline_db",
		"TRUNKLINE_DB_ENV_POSTGRES_USER=hub",
		"TRUNKLINE_WEBHOOK_SECRET=whsec_x", // of dialect verify, listen and trigger
		"TRUNKLINE_CLICKHOUSE_ENGINE=/opt/libchdb.so",
	}
	for _, s := range allSettings() {
		environ = append(environ, s.Name+"="+s.Default)
	}
	if err := unknownSettings(environ); err != nil {
		t.Error(err)
	}
}
