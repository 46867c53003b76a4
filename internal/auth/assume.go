package auth

import "time"

// Assume is Authenticate for a question about a key instead of a request: who
// would be recognised if the secret of the key with that ID were shown, as the
// bearer of a service plan where the path names the key's plan. It opens
// nothing: whoever answers a request calls Authenticate.
func Assume(d *Directory, id, planID string, now time.Time) (Principal, error) {
	if id == "" {
		return Principal{}, ErrNone
	}
	switch k := d.ByID(id); {
	case k == nil || !k.live(now):
		return Principal{}, ErrInvalid
	case planID != "" && k.rest().planID == planID:
		return Principal{Key: k, Method: MethodPlan}, nil
	case !k.bare():
		return Principal{Key: k}, ErrBare
	default:
		return Principal{Key: k, Method: MethodBasic}, nil
	}
}
