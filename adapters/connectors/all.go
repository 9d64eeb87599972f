package connectors

// all returns the kinds of connectors. This is the list: a new one is a file,
// its fake and one line here.
func all(s *Set) []kind {
	return []kind{
		salesforceKind{s},
		hubspotKind{s},
		slackKind{s},
		driveKind{s},
		s3Kind{s},
		zapierKind{s},
		httpsKind{s},
	}
}
