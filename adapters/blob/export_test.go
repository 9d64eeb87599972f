package blob

// Synced lets a test see which folders are written to the disk.
func (s *Store) Synced(see func(dir string)) {
	sync := s.sync
	s.sync = func(dir string) error {
		see(dir)
		return sync(dir)
	}
}
