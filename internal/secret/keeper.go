package secret

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/awskms" // awskms://
	"gocloud.dev/secrets/hashivault"
	"gocloud.dev/secrets/localsecrets"

	"postern.dev/postern/internal/fault"
)

// Keeper seals data keys. It is a key of this machine, or one that never leaves
// a service that is asked over the network. It is safe for concurrent use.
type Keeper struct {
	name   string
	keeper *secrets.Keeper
	remote bool

	mu    sync.Mutex
	down  error     // why it did not answer last; guarded by mu
	asked time.Time // when that was; guarded by mu
	since time.Time // of the failures in a row the first; guarded by mu
}

const (
	// keeperTimeout is how long one call of a keeper may take.
	keeperTimeout = 5 * time.Second
	// keeperRest is how long a keeper that did not answer is not asked again: a
	// start of many functions must not wait for it once for each.
	keeperRest = time.Second
)

const keeperHint = "write nothing for a key derived from the installation's, or file:/path, awskms://KEY?region=… or hashivault://KEY"

// OpenKeeper opens the keeper that a URL names: "" is a key that the
// installation's box derives, "file:PATH" one in a file, which is made when it
// is absent, "awskms://KEY?region=…" one of AWS KMS and "hashivault://KEY" one
// of the transit engine of a HashiCorp Vault. The services are told of by their
// usual variables, AWS_* and VAULT_*; nobody asks them yet.
func OpenKeeper(ctx context.Context, box *Box, rawURL string) (*Keeper, error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case "":
		key, err := box.Derive("data keys")
		return localKeeper("sealing.key", key), err
	case "file":
		key, err := openKey(strings.TrimPrefix(rest, "//"))
		return localKeeper("file", key), err
	case "awskms", "hashivault":
		u, err := url.Parse(rawURL)
		if err != nil || u.Host+strings.Trim(u.Path, "/") == "" {
			return nil, fault.New(fault.Invalid, "secrets-key names no key of "+scheme).WithHint(keeperHint)
		}
		k, err := openRemote(ctx, u)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "the keeper of the secrets cannot be set up: "+err.Error()).WithHint(keeperHint)
		}
		return &Keeper{name: scheme + "://" + u.Host + u.Path, keeper: k, remote: true}, nil
	}
	return nil, fault.New(fault.Invalid, fmt.Sprintf("secrets-key has the unknown scheme %.32q", scheme)).WithHint(keeperHint)
}

func openRemote(ctx context.Context, u *url.URL) (*secrets.Keeper, error) {
	if u.Scheme != hashivault.Scheme {
		return secrets.OpenKeeper(ctx, u.String())
	}
	c := api.DefaultConfig() // of VAULT_ADDR, VAULT_TOKEN and their like
	c.Timeout, c.MaxRetries = keeperTimeout, 1
	client, err := api.NewClient(c)
	if err != nil {
		return nil, err
	}
	return (&hashivault.URLOpener{Client: client}).OpenKeeperURL(ctx, u)
}

// localKeeper is named after its key, so that another key of the same file is
// told apart.
func localKeeper(kind string, key [keySize]byte) *Keeper {
	print, err := (&Box{key: key}).Derive("name of a keeper")
	if err != nil {
		panic(err) // HKDF gives 32 bytes to everybody
	}
	return &Keeper{name: kind + "/" + hex.EncodeToString(print[:8]), keeper: localsecrets.NewKeeper(key)}
}

// Name is what data keys remember of who sealed them. It is no secret.
func (k *Keeper) Name() string { return k.name }

// seal seals plain under the name bind.
func (k *Keeper) seal(ctx context.Context, bind string, plain []byte) ([]byte, error) {
	return k.call(ctx, func(ctx context.Context) ([]byte, error) { return k.keeper.Encrypt(ctx, bound(bind, plain)) })
}

// open returns what was sealed under the name bind: ErrUnsealable when it is
// not this keeper's, or a fault Unavailable when the keeper does not say.
func (k *Keeper) open(ctx context.Context, bind string, sealed []byte) ([]byte, error) {
	message, err := k.call(ctx, func(ctx context.Context) ([]byte, error) { return k.keeper.Decrypt(ctx, sealed) })
	if err != nil {
		return nil, err
	}
	return unbound(bind, message)
}

var errEmpty = errors.New("its answer is empty") // and what would be stored opens never

// answer is what a keeper said.
type answer struct {
	bytes []byte
	err   error
}

// call asks the keeper, for keeperTimeout at most.
func (k *Keeper) call(ctx context.Context, ask func(context.Context) ([]byte, error)) ([]byte, error) {
	if !k.remote {
		out, err := ask(ctx)
		if err != nil {
			return nil, ErrUnsealable
		}
		return out, nil
	}
	k.mu.Lock()
	if k.down != nil && time.Since(k.asked) < keeperRest {
		defer k.mu.Unlock()
		return nil, k.down
	}
	k.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	said := make(chan answer, 1) // what comes too late is read by nobody
	go func() {                  // the driver of Vault knows no contexts, and takes an odd answer for a programmer's mistake
		defer func() {
			if p := recover(); p != nil {
				said <- answer{err: fmt.Errorf("its answer has an odd form: %v", p)}
			}
		}()
		out, err := ask(ctx)
		if err == nil && len(out) == 0 {
			err = errEmpty
		}
		said <- answer{out, err}
	}()
	var a answer
	select {
	case a = <-said:
	case <-ctx.Done():
		a.err = context.Cause(ctx)
	}
	return a.bytes, k.judge(a.err)
}

// judge tells a keeper that says no from one that says nothing.
func (k *Keeper) judge(err error) error {
	if err != nil && refusedSealed(err) {
		err = ErrUnsealable
	} else if err != nil && !errors.Is(err, context.Canceled) {
		err = fault.Wrap(err, fault.Unavailable, "the keeper of the secrets, "+k.name+", does not do what it is asked").WithCode("keeper_away").
			WithHint("the server's log has the reason; functions that run go on")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch now := time.Now(); {
	case err == nil, errors.Is(err, ErrUnsealable):
		k.down, k.since = nil, time.Time{}
	case !errors.Is(err, context.Canceled): // of a caller who went away nothing is known
		k.down, k.asked = err, now
		if k.since.IsZero() {
			k.since = now
		}
	}
	return err
}

// refusedSealed reports whether a service says that what it was shown is not its
// own. That of Vault is a 400.
func refusedSealed(err error) bool {
	if e, ok := errors.AsType[*api.ResponseError](err); ok {
		return e.StatusCode == http.StatusBadRequest
	}
	return gcerrors.Code(err) == gcerrors.InvalidArgument
}

// Away is since when the keeper does not answer; zero: it did when it was last
// asked.
func (k *Keeper) Away() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.since
}

// Close lets go of what the keeper holds.
func (k *Keeper) Close() error { return k.keeper.Close() }
