package broker

import (
	"io/fs"
	"log/slog"
	"path/filepath"

	"trunkline.dev/trunkline/adapters/embedded/internal/memory"
)

// warnIfLarge says so while there is still time: a restart reads the whole log
// and holds it in memory until it is loaded, so the memory bounds the log.
func warnIfLarge(log *slog.Logger, dir string) {
	size, ram := dirBytes(dir), memory.Total()
	if tooLarge(size, ram) {
		log.Warn("the embedded Kafka's log is large for this machine's memory; a restart needs about its size in RAM: move to a Kafka of yours (TRUNKLINE_KAFKA_BROKERS)",
			slog.Int64("log_bytes", size), slog.Int64("ram_bytes", ram))
	}
}

func tooLarge(logBytes, ramBytes int64) bool { return ramBytes > 0 && logBytes > ramBytes/3 }

func dirBytes(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // a segment that was just removed is no reason to stop counting
		}
		if fi, err := d.Info(); err == nil {
			sum += fi.Size()
		}
		return nil
	})
	return sum
}
