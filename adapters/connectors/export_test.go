package connectors

import "trunkline.dev/trunkline/domain/delivery"

// Duration is how a message says how long a call took.
var Duration = duration

// Words is what is said of an error.
var Words = words

// KeyForTest is the object key that the kind s3 makes of a delivery.
func KeyForTest(s *Set, e delivery.Endpoint, body []byte) string {
	a := s.begin(e)
	if err := a.read(body); err != nil {
		return err.Error()
	}
	session, err := s3Kind{s}.session(a)
	if err != nil {
		return err.Error()
	}
	return session.key()
}
