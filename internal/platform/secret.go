package platform

import "time"

// Secret is a secret of the platform without its value. It belongs to a
// function, and stays with it over deploys, or to a project that shares it with
// the functions that declare its name.
type Secret struct {
	OwnerID   string // the function's ID, or the project's
	Name      string
	Version   int // counts its values, from 1; only that of the last is kept
	CreatedAt time.Time
	UpdatedAt time.Time // when it got its value, or lost it
	UpdatedBy string    // the access key that did it
}

// SealedSecret is a secret with its value as the store has it. Nothing sealed:
// it was removed, and only its number is remembered.
type SealedSecret struct {
	Secret
	Sealed []byte
}

// DataKey is what the secrets of one owner are sealed under. It is sealed
// itself, by the keeper of that name. Its ID stands for one key for ever.
type DataKey struct {
	ID        string
	OwnerID   string
	Keeper    string
	Sealed    []byte
	CreatedAt time.Time
}

// SealedSecrets are all the secrets of one owner, by name, under one data key.
type SealedSecrets struct {
	Key     DataKey
	Secrets []SealedSecret
}

// SecretInput is one change of an owner's secrets: all of it is done or nothing.
type SecretInput struct {
	OwnerID string
	// ExpectKey is the ID of the data key that Set is sealed under; empty: the
	// owner has none, and Key becomes it. When it has another by now the change
	// has been raced.
	ExpectKey string
	Key       DataKey
	// Set has the version after the one that each secret has; when it is another
	// by now the change has been raced.
	Set    []SealedSecret
	Remove []string // those that are not there are passed over
	By     string
	At     time.Time
}

// Changes reports whether there is anything to do.
func (in *SecretInput) Changes() bool { return len(in.Set)+len(in.Remove) > 0 }
