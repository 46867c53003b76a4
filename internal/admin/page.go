package admin

// Page says which part of a list is wanted.
type Page struct {
	PageSize  int    `query:"pageSize" minimum:"1" maximum:"1000" default:"100"`
	PageToken string `query:"pageToken" maxLength:"64" pattern:"^[^\\x00]*$" doc:"nextPageToken of the page before."`
}

// pageOf is what a page has of rows, of which one more than its size was read if there
// is one, and the token of the page after it; empty: it is the last. token is that of
// the page behind a row.
func pageOf[T any](rows []T, size int, token func(T) string) (page []T, next string) {
	if len(rows) <= size {
		return rows, ""
	}
	return rows[:size], token(rows[size-1])
}
