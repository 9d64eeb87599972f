package call

import "fmt"

// Length writes a number of seconds as people do: "45s", "2m 30s", "1h 2m 3s".
func Length(seconds int64) string {
	switch {
	case seconds < 60:
		return fmt.Sprintf("%ds", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%dm %ds", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%dh %dm %ds", seconds/3600, seconds%3600/60, seconds%60)
}
