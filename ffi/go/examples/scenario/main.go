// Scenario runs one of core/tests/scenarios through grpclb.Picker and prints a line a step: the same octets as in every
// other language. The format stands in core/tests/scenarios/README.md.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"grpclb"

	"google.golang.org/grpc/connectivity"
)

type scenario struct {
	About    string  `json:"about"`
	Seed     *uint64 `json:"seed"`
	Position *uint64 `json:"position"`
	Steps    []step  `json:"steps"`
}

type step struct {
	Do        string   `json:"do"`
	Endpoints []string `json:"endpoints"`
	Weights   []uint32 `json:"weights"`
	Config    string   `json:"config"`
	Address   string   `json:"address"`
	Ms        uint64   `json:"ms"`
	Count     uint64   `json:"count"`
	On        uint64   `json:"on"`
}

func main() {
	if len(os.Args) != 2 {
		fail(errors.New("usage: scenario FILE"))
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var s scenario
	if err := decoder.Decode(&s); err != nil {
		fail(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		fail(errors.New("something behind the object"))
	}
	if s.Seed == nil || s.Position == nil || s.Steps == nil {
		fail(errors.New("seed, position or steps are missing"))
	}
	picker, err := grpclb.NewPicker(grpclb.PickerConfig{Seed: *s.Seed, Position: *s.Position})
	if err != nil {
		fail(err)
	}
	out := bufio.NewWriter(os.Stdout)
	r := runner{picker: picker, addresses: map[grpclb.Subchannel]string{}, newest: map[string]grpclb.Subchannel{}}
	for _, step := range s.Steps {
		line, err := r.run(&step)
		if err != nil {
			out.Flush()
			fail(err)
		}
		fmt.Fprintln(out, line)
	}
	if err := out.Flush(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "scenario:", err)
	os.Exit(2)
}

type runner struct {
	picker *grpclb.Picker
	now    time.Duration
	// What connect actions named.
	addresses map[grpclb.Subchannel]string
	newest    map[string]grpclb.Subchannel
}

var states = map[connectivity.State]string{
	connectivity.Idle: "IDLE", connectivity.Connecting: "CONNECTING", connectivity.Ready: "READY",
	connectivity.TransientFailure: "TRANSIENT_FAILURE", connectivity.Shutdown: "SHUTDOWN",
}

var events = map[string]grpclb.SubchannelEvent{
	"ready": grpclb.SubchannelReady, "failed": grpclb.SubchannelFailed, "lost": grpclb.SubchannelLost,
}

var results = map[grpclb.PickResult]string{
	grpclb.PickQueue: "queue", grpclb.PickFail: "fail", grpclb.PickDrop: "drop",
}

func (r *runner) run(s *step) (string, error) {
	var parts []string
	switch s.Do {
	case "connect":
		r.picker.Connect(r.now)
	case "resolve":
		part, err := r.resolve(s)
		if err != nil {
			return "", err
		}
		parts = append(parts, part...)
	case "resolve_error":
		r.picker.HandleResolutionError(r.now)
	case "ready", "failed", "lost":
		subchannel, ok := r.newest[s.Address]
		if !ok {
			return "", fmt.Errorf("%s was never to be connected", s.Address)
		}
		r.picker.HandleSubchannel(r.now, subchannel, events[s.Do])
	case "advance":
		r.now += time.Duration(s.Ms) * time.Millisecond
		r.picker.HandleTimeout(r.now)
	case "pick":
		var picks []string
		for range s.Count {
			subchannel, result := r.picker.Pick(r.now)
			if result == grpclb.PickSubchannel {
				picks = append(picks, r.picker.Address(subchannel))
			} else {
				picks = append(picks, results[result])
			}
		}
		parts = append(parts, strings.Join(picks, " "))
	case "busy":
		r.picker.SetBusy(r.now, s.On != 0)
	case "shutdown":
		r.picker.Shutdown()
	default:
		return "", fmt.Errorf("nothing that can be done: %q", s.Do)
	}
	parts = append([]string{s.Do + ": " + states[r.picker.State()]}, parts...)
	if actions := r.actions(); len(actions) > 0 {
		parts = append(parts, strings.Join(actions, ", "))
	}
	return strings.Join(parts, "; "), nil
}

func (r *runner) resolve(s *step) ([]string, error) {
	if s.Weights != nil && len(s.Weights) != len(s.Endpoints) {
		return nil, fmt.Errorf("%d weights for %d endpoints", len(s.Weights), len(s.Endpoints))
	}
	var endpoints []grpclb.Endpoint
	for i, addresses := range s.Endpoints {
		endpoint := grpclb.Endpoint{Addresses: strings.Split(addresses, ","), Weight: 1}
		if s.Weights != nil {
			endpoint.Weight = s.Weights[i]
		}
		endpoints = append(endpoints, endpoint)
	}
	err := r.picker.HandleResolution(r.now, endpoints, s.Config)
	var why *grpclb.ResolutionError
	switch {
	case err == nil:
		return nil, nil
	case errors.As(err, &why) && !why.Unchanged:
		return []string{"error: " + why.Text}, nil
	default:
		return nil, err
	}
}

func (r *runner) actions() (all []string) {
	for {
		action, ok := r.picker.PollAction()
		if !ok {
			return all
		}
		switch action.Kind {
		case grpclb.ActionResolve:
			all = append(all, "resolve")
		case grpclb.ActionConnect:
			address := r.picker.Address(action.Subchannel)
			r.addresses[action.Subchannel], r.newest[address] = address, action.Subchannel
			all = append(all, "connect "+address)
		case grpclb.ActionClose:
			all = append(all, "close "+r.addresses[action.Subchannel])
		}
	}
}
