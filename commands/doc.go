// Package commands turns what somebody wants or reports into facts and appends
// them: intent → validation → decision → append. A caller is told yes only
// after the broker acknowledged. It holds no state between calls.
package commands
