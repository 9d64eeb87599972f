package event

import (
	"errors"
	"fmt"
	"reflect"
	"time"
)

// ErrTime says that a time lies in no year that RFC 3339 can write once it is
// brought to UTC, as "9999-12-31T23:59:59-01:00" does: it can be read, and what
// keeps it can never be stored.
var ErrTime = errors.New("time out of range")

// The seconds of the years 0 to 9999.
var (
	firstSecond = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	lastSecond  = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() - 1
)

func writable(t time.Time) bool {
	s := t.Unix()
	return s >= firstSecond && s <= lastSecond
}

// checkTimes looks for a time that cannot be written in all that encoding/json can
// have read into a value.
func checkTimes(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		return checkTimes(v.Elem())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return nil // JSON that is kept as it is
		}
		for i := range v.Len() {
			if err := checkTimes(v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if err := checkTimes(v.MapIndex(key)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		if v.Type() == timeType {
			if t := timeIn(v); !writable(t) {
				return fmt.Errorf("%w: %s", ErrTime, t.Format(time.RFC3339Nano))
			}
			return nil
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); !f.IsExported() && !f.Anonymous {
				continue
			}
			if err := checkTimes(v.Field(i)); err != nil {
				return err
			}
		}
	}
	return nil
}
