//go:build !race

package worker

const allocationCeiling = 0
