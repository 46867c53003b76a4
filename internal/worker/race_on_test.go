//go:build race

package worker

// The race detector makes sync.Pool forget at random, so that a call is made anew.
const allocationCeiling = 8
