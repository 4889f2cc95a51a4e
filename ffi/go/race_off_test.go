//go:build !race

package grpclb_test

const race = false
