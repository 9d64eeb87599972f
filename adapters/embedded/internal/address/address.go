// Package address is about the addresses that embedded stores listen on.
package address

import "net"

// Dialable replaces the wildcard host, which one can listen on but not dial.
func Dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}
