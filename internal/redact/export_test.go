package redact

// Values are those of an owner by name, and All in their order.
func (l *Live) Values(owner string) map[string]string {
	out := map[string]string{}
	for _, s := range l.owners[owner] {
		out[s.name] = s.value
	}
	return out
}

// All is every value that is known of an owner, oldest first.
func (l *Live) All(owner string) (out []string) {
	for _, s := range l.owners[owner] {
		out = append(out, s.value)
	}
	return out
}
