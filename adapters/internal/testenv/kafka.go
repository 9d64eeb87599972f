package testenv

import (
	"context"
	"testing"

	"trunkline.dev/trunkline/adapters/embedded/broker"
)

// Kafka starts an empty embedded Kafka for this test and returns its address.
// Topics must be created; it creates none by itself.
func Kafka(t *testing.T) (addr string) {
	t.Helper()
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0", DataDir: t.TempDir()})
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Errorf("testenv: %v", err)
		}
	})
	return b.Addr()
}
