package wire

import "net/http"

// Method is a usual method as a text that is not the caller's, which is a piece
// of a whole head and would keep that in memory; empty: it is none of them.
func Method[T string | []byte](m T) string {
	switch string(m) {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodPost:
		return http.MethodPost
	case http.MethodPut:
		return http.MethodPut
	case http.MethodPatch:
		return http.MethodPatch
	case http.MethodDelete:
		return http.MethodDelete
	case http.MethodHead:
		return http.MethodHead
	case http.MethodOptions:
		return http.MethodOptions
	}
	return ""
}
