package console

import (
	"postern.dev/postern/internal/fault"
)

func (c *Console) registerSigningKeys() {
	c.page("GET /p/{project}/signing-keys", c.signingKeys)
	c.page("POST /p/{project}/signing-keys/rotate", c.rotateSigningKey)
}

func (c *Console) signingKeys(v *visit) error {
	keys, err := v.api.SigningKeys(v.r.Context())
	if err != nil {
		return err
	}
	return v.show("signing-keys", "signing-keys", "Signing keys", keys)
}

func (c *Console) rotateSigningKey(v *visit) error {
	done, err := v.api.RotateSigningKey(v.r.Context())
	switch {
	case fault.KindOf(err) == fault.Denied:
		keys, listErr := v.api.SigningKeys(v.r.Context())
		if listErr != nil {
			return listErr
		}
		return v.mistaken(err, "signing-keys", "signing-keys", "Signing keys", keys)
	case err != nil:
		return err
	}
	notice := "signing-key-waits"
	if done.Rotated {
		notice = "signing-key-made"
	}
	v.said(v.in("signing-keys"), notice)
	return nil
}
