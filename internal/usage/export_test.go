package usage

// Hold finds a caller's tally and returns what counts on it, however late.
func (m *Meter) Hold(f Function, caller string) func(Call) {
	t := m.find(series{f.ProjectID, f.ID, f.Name, caller, ""})
	return func(c Call) { t.half(c.At).invocations.Add(1) }
}

// Tallies is how many series are known.
func (m *Meter) Tallies() (n int) {
	m.tallies.Range(func(any, any) bool { n++; return true })
	return n
}
