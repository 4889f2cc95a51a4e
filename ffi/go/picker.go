package grpclb

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/connectivity"

	"grpclb/internal/capi"
)

// Picker decides which connection a call goes to, for programs that keep connections of their own: gRPC's policies,
// connectivity states, backoff and Happy Eyeballs, without a socket and without a clock. Any number of goroutines may use
// it; while the state is Ready, picks take no lock. It needs no Close: its memory goes with it.
//
// now is the time since any moment of yours, by a clock that never goes back. After each other method that changes
// something (after Pick, when it was Queue) ask PollAction until there is nothing to do, and PollTimeout when to call
// HandleTimeout.
type Picker struct{ c capi.Picker }

// PickerConfig is a Picker's settings; 0 is the default of all durations.
type PickerConfig struct {
	// Seed is for jitter and shuffling; take it from a random source.
	Seed uint64
	// Position is the number of the first pick; take it from a random source, or every client's first call goes to the
	// same endpoint.
	Position uint64
	// InitialBackoff is the first one between attempts to connect (1 s), MaxBackoff the largest (120 s).
	InitialBackoff, MaxBackoff time.Duration
	// MinConnectTimeout is how long an attempt may take (20 s); longer when the backoff is.
	MinConnectTimeout time.Duration
	// HappyEyeballsDelay lies between attempts to an endpoint's addresses (250 ms, kept within 100 ms and 2 s).
	HappyEyeballsDelay time.Duration
	// IdleTimeout without picks and calls makes it Idle (30 min); below 0: never.
	IdleTimeout time.Duration
}

// Endpoint is a backend of a resolver's answer.
type Endpoint struct {
	// Addresses are ways to it: "ip:port", "[ip]:port", "unix:path".
	Addresses []string
	// Weight counts with weighted_round_robin; 1 is the usual one, 0 means no calls.
	Weight uint32
}

// Subchannel is one attempt to connect and the connection that comes of it. It is never used for another.
type Subchannel uint32

// Index is dense from 0, for an array; it is used again.
func (s Subchannel) Index() int { return int(s >> 16) }

// SubchannelEvent is what became of a Subchannel.
type SubchannelEvent int32

// What became of a Subchannel: connected, with the peer's SETTINGS; the attempt failed; a connection that was ready is
// gone or takes no new calls.
const (
	SubchannelReady  SubchannelEvent = capi.SubchannelReady
	SubchannelFailed SubchannelEvent = capi.SubchannelFailed
	SubchannelLost   SubchannelEvent = capi.SubchannelLost
)

// ActionKind is what to do.
type ActionKind int32

const (
	// ActionResolve: resolve the target (again), and answer with HandleResolution or HandleResolutionError.
	ActionResolve ActionKind = capi.ActionResolve
	// ActionConnect: connect to the subchannel's Address.
	ActionConnect ActionKind = capi.ActionConnect
	// ActionClose: close the connection, once its calls have ended, or give up the attempt.
	ActionClose ActionKind = capi.ActionClose
)

// Action is what to do, and for Connect and Close with which subchannel.
type Action struct {
	Kind       ActionKind
	Subchannel Subchannel
}

// PickResult says where a call goes.
type PickResult int32

const (
	// PickSubchannel: to that subchannel.
	PickSubchannel PickResult = capi.PickSubchannel
	// PickQueue: it waits; pick again when Version changes.
	PickQueue PickResult = capi.PickQueue
	// PickFail: it fails with Unavailable; one that waits for ready waits as for PickQueue.
	PickFail PickResult = capi.PickFail
	// PickDrop: it fails with Unavailable, and is not tried again.
	PickDrop PickResult = capi.PickDrop
)

// ResolutionError is why HandleResolution did not take everything.
type ResolutionError struct {
	// Text is why: the JSON path in a service config, the line of an endpoint.
	Text string
	// Unchanged: nothing was taken, the endpoints are malformed. Else the endpoints count with the last good service
	// config or, when there is none, all of it counts as HandleResolutionError (gRFC A21).
	Unchanged bool
}

func (e *ResolutionError) Error() string { return e.Text }

// NewPicker makes a Picker, Idle and without endpoints.
func NewPicker(config PickerConfig) (*Picker, error) {
	c := capi.PickerConfig{Seed: config.Seed, Position: config.Position}
	for _, one := range []struct {
		name  string
		value time.Duration
		at    *uint64
	}{
		{"InitialBackoff", config.InitialBackoff, &c.InitialBackoff},
		{"MaxBackoff", config.MaxBackoff, &c.MaxBackoff},
		{"MinConnectTimeout", config.MinConnectTimeout, &c.MinConnectTimeout},
		{"HappyEyeballsDelay", config.HappyEyeballsDelay, &c.HappyEyeballsDelay},
		{"IdleTimeout", max(config.IdleTimeout, 0), &c.IdleTimeout},
	} {
		if one.value < 0 {
			return nil, fmt.Errorf("grpclb: PickerConfig.%s: %v is below 0", one.name, one.value)
		}
		*one.at = uint64(one.value)
	}
	if config.IdleTimeout < 0 {
		c.IdleTimeout = math.MaxUint64
	}
	made, err := capi.NewPicker(&c)
	if err != nil {
		return nil, fmt.Errorf("grpclb: %w", err)
	}
	p := &Picker{made}
	runtime.AddCleanup(p, capi.Picker.Free, made)
	return p, nil
}

// clock: a now below 0 is the beginning.
func clock(now time.Duration) uint64 { return uint64(max(now, 0)) }

// HandleResolution takes a resolver's endpoints and the service config (JSON; "": none) that goes with them. Addresses
// that stay keep their connections. The error is a *ResolutionError.
func (p *Picker) HandleResolution(now time.Duration, endpoints []Endpoint, serviceConfig string) error {
	var lines []byte
	for i, endpoint := range endpoints {
		if len(endpoint.Addresses) == 0 {
			return &ResolutionError{fmt.Sprintf("endpoint %d has no address", i), true}
		}
		for k, address := range endpoint.Addresses {
			if address == "" || strings.ContainsAny(address, " ,\r\n\t\x00") {
				return &ResolutionError{fmt.Sprintf("endpoint %d: %q is no address", i, address), true}
			}
			if k > 0 {
				lines = append(lines, ',')
			}
			lines = append(lines, address...)
		}
		lines = append(lines, ' ')
		lines = strconv.AppendUint(lines, uint64(endpoint.Weight), 10)
		lines = append(lines, '\n')
	}
	defer runtime.KeepAlive(p)
	err := p.c.HandleResolution(clock(now), lines, serviceConfig)
	var why *capi.Error
	if errors.As(err, &why) {
		return &ResolutionError{why.Error(), why.Code == capi.ErrArgument}
	}
	return err
}

// HandleResolutionError tells that the resolver failed. With an earlier answer the picker goes on with it.
func (p *Picker) HandleResolutionError(now time.Duration) {
	p.c.HandleResolutionError(clock(now))
	runtime.KeepAlive(p)
}

// HandleSubchannel tells what became of a subchannel. One that is out of use is passed over.
func (p *Picker) HandleSubchannel(now time.Duration, s Subchannel, event SubchannelEvent) {
	p.c.HandleSubchannel(clock(now), uint32(s), int32(event))
	runtime.KeepAlive(p)
}

// Connect leaves Idle.
func (p *Picker) Connect(now time.Duration) {
	p.c.Connect(clock(now))
	runtime.KeepAlive(p)
}

// SetBusy tells whether calls are running: while some are, the idle timeout does not run.
func (p *Picker) SetBusy(now time.Duration, busy bool) {
	p.c.SetBusy(clock(now), busy)
	runtime.KeepAlive(p)
}

// Shutdown ends it: every connection is to be closed, and picks fail.
func (p *Picker) Shutdown() {
	p.c.Shutdown()
	runtime.KeepAlive(p)
}

// PollAction is what to do next; false: nothing.
func (p *Picker) PollAction() (Action, bool) {
	kind, subchannel := p.c.PollAction()
	runtime.KeepAlive(p)
	return Action{ActionKind(kind), Subchannel(subchannel)}, kind > capi.ActionNone
}

// Address is where a subchannel goes; "": it is out of use.
func (p *Picker) Address(s Subchannel) string {
	defer runtime.KeepAlive(p)
	return p.c.Address(uint32(s))
}

// State is the channel's.
func (p *Picker) State() connectivity.State {
	defer runtime.KeepAlive(p)
	return connectivity.State(p.c.State())
}

// Pick says where a call goes. It leaves Idle.
func (p *Picker) Pick(now time.Duration) (Subchannel, PickResult) {
	result, subchannel := p.c.Pick(clock(now))
	runtime.KeepAlive(p)
	return Subchannel(subchannel), PickResult(result)
}

// Version changes whenever picks may come out differently, the state included.
func (p *Picker) Version() uint32 {
	defer runtime.KeepAlive(p)
	return p.c.Version()
}

// PollTimeout is when HandleTimeout is due, by your clock; false: never.
func (p *Picker) PollTimeout() (time.Duration, bool) {
	due := p.c.PollTimeout()
	runtime.KeepAlive(p)
	return time.Duration(min(due, math.MaxInt64)), due != math.MaxUint64
}

// HandleTimeout tells that time passed.
func (p *Picker) HandleTimeout(now time.Duration) {
	p.c.HandleTimeout(clock(now))
	runtime.KeepAlive(p)
}

// EndpointCount is how many endpoints there are, or with pick_first addresses.
func (p *Picker) EndpointCount() int {
	defer runtime.KeepAlive(p)
	return p.c.EndpointCount()
}

// ReadyCount is how many of them are Ready.
func (p *Picker) ReadyCount() int {
	defer runtime.KeepAlive(p)
	return p.c.ReadyCount()
}

// EndpointState is an endpoint as the picker sees it now.
type EndpointState struct {
	// Address is the one in use, or else the first; Subchannel is its.
	Address    string
	State      connectivity.State
	Weight     uint32
	Subchannel Subchannel
}

// Endpoint is number i in the resolver's order (with pick_first: in the order of attempts); false: there is none.
func (p *Picker) Endpoint(i int) (EndpointState, bool) {
	defer runtime.KeepAlive(p)
	if i < 0 {
		return EndpointState{}, false
	}
	address, state, weight, subchannel, ok := p.c.Endpoint(i)
	return EndpointState{address, connectivity.State(state), weight, Subchannel(subchannel)}, ok
}
