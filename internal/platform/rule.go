package platform

import (
	"net/netip"
	"time"
)

// Rule is what an address gives to the steps of a request: who may call, how
// often, how much and for how long. A zero field gives none, so that what is
// said elsewhere holds. It opens nothing: that is for a [Guard] to say.
type Rule struct {
	// Group says which keys open it: those made for the group, and those made
	// for none. Empty: the group named like the function.
	Group  string  `json:",omitempty"`
	Scopes []Scope `json:",omitempty"` // that a key needs beside ScopeInvoke
	// Methods are the ways in which a credential may be shown (auth.Method);
	// empty: all.
	Methods []string `json:",omitempty"`
	// Addresses are from where callers may come; empty: anywhere.
	Addresses []netip.Prefix `json:",omitempty"`
	Limits    []RateLimit    `json:",omitempty"`
	CORS      *CORS          `json:",omitempty"` // nil: no other origin's pages may call
	// Signature says how callbacks are verified where the guard is
	// GuardSignature; nil: as the handler's name says.
	Signature *Signature    `json:",omitempty"`
	BodyLimit int64         `json:",omitempty"` // bytes; 0: the gateway's default
	Timeout   time.Duration `json:",omitempty"` // 0: the gateway's default
}

// RateLimit allows so many requests in a period, Burst of them at once.
type RateLimit struct {
	Requests int
	Per      time.Duration
	Burst    int `json:",omitempty"` // 0: as many as Requests
	By       LimitBy
	// Pool is what several addresses share this limit under, within their
	// project: all limits that are alike and have the same pool are one. Empty:
	// it is of the one address alone.
	Pool string `json:",omitempty"`
}

// LimitBy says of whom a limit is.
type LimitBy string

const (
	LimitByRoute   LimitBy = "route"   // all callers together
	LimitByKey     LimitBy = "key"     // each access key, or other principal
	LimitByAddress LimitBy = "address" // each client address; of IPv6 each /64
	LimitByMethod  LimitBy = "method"  // all callers that show their credential in one way
)

// CORS says which pages of other origins may call from a browser (the Fetch
// standard's CORS protocol). It guards nothing: whoever may call is for the
// guard to say.
type CORS struct {
	Origins     []string      // "https://shop.example", or "*" alone
	Methods     []string      `json:",omitempty"` // empty: those of the route
	Headers     []string      `json:",omitempty"` // that a request may have beside the safe ones; empty: those of credentials and Content-Type
	Expose      []string      `json:",omitempty"` // that the page may read of an answer
	Credentials bool          `json:",omitempty"`
	MaxAge      time.Duration `json:",omitempty"` // for how long a browser may remember it
}

// Signature says how callbacks are verified.
type Signature struct {
	// Scheme is the name of a known scheme, or "custom".
	Scheme string
	// Secrets name the function's secrets or variables that hold the sender's
	// secret; several while one replaces the other.
	Secrets []string
	// KeyID names the variable with the sender's name for its key, where the
	// scheme has one; empty: the scheme's own.
	KeyID  string           `json:",omitempty"`
	Window time.Duration    `json:",omitempty"` // 0: 5 minutes
	Custom *SignatureScheme `json:",omitempty"`
}

// SignatureScheme describes a scheme as data; package signature says what its
// fields mean.
type SignatureScheme struct {
	Header          string
	Prefix          string `json:",omitempty"`
	SignatureField  string `json:",omitempty"`
	TimestampHeader string `json:",omitempty"`
	TimestampField  string `json:",omitempty"`
	Signed          string `json:",omitempty"`
	Encoding        string `json:",omitempty"`
	Hash            string `json:",omitempty"`
	SecretEncoding  string `json:",omitempty"`
	IDMember        string `json:",omitempty"`
}

// Visibility says from where a function can be called.
type Visibility string

const (
	Public  Visibility = ""        // at the gateway
	Private Visibility = "private" // by other functions of its project only
)
