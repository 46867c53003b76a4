package auth

import (
	"time"

	"postern.dev/postern/internal/platform"
)

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

// Ways are the ways in which the key, or a token of it, opens something where
// the path names a service plan; empty: none.
func (k *Key) Ways(planID string) []Method {
	switch m := k.rest(); {
	case m.planID == "" && m.binding == platform.BindingNone:
		return anyWay
	case m.planID != "" && m.planID == planID:
		return []Method{MethodPlan}
	case m.planID != "":
		return nil
	case m.binding == platform.BindingDPoP:
		return []Method{MethodDPoP}
	default:
		return []Method{MethodBearer}
	}
}

var anyWay = []Method{MethodBasic, MethodAPIKey, MethodBearer, MethodDPoP}
