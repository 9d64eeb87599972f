package dialects_test

import (
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/domain/delivery"
)

// BenchmarkRender renders and signs the disposition of a call whole.
func BenchmarkRender(b *testing.B) {
	var view delivery.View
	for _, v := range dialecttest.Views(b) {
		if v.Event.Type == "call.dispositioned.v1" {
			view = v
			break
		}
	}
	for _, d := range dialects.All() {
		b.Run(d.Name(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				msgs, err := d.Render(view, delivery.Endpoint{})
				if err != nil || len(msgs) != 1 {
					b.Fatal(len(msgs), err)
				}
				d.Sign(dialecttest.Secret, msgs[0].Body)
				if _, err := dialects.SignStandard("msg-1", time.Unix(1, 0), msgs[0].Body, dialecttest.Secret); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
