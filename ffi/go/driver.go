package grpclb

import (
	"errors"
	"math"
	"os"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"

	"grpclb/internal/capi"

	"golang.org/x/sys/unix"
)

// A driver owns the reactor and knows whose event is whose. Whoever has a command for the reactor runs it under mu. One
// goroutine waits for the reactor's descriptor in Go's poller, takes events in and wakes who waits for them.
//
// Commands are written by who made them, unless that goroutine is between two turns (driving): it has just woken
// callers, lets them run, and writes what they started in one go.
type driver struct {
	mu      sync.Mutex
	reactor capi.Reactor
	calls   []*call // by the id's index
	driving bool
	closed  bool
	// When the poller wakes the goroutine at the latest; zero: never.
	armed time.Time

	state        connectivity.State
	ready        uint64
	stateChanged chan struct{} // closed at the next change of one of the two

	poll    *os.File // of the reactor's descriptor
	stopped chan struct{}
	woken   []*call // scratch of drive
	peers   map[string]string
}

func newDriver(reactor capi.Reactor) (*driver, error) {
	// A descriptor of our own: Go's poller closes what it was given, and wants it non-blocking.
	fd, err := unix.FcntlInt(uintptr(reactor.Descriptor()), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	d := &driver{
		reactor:      reactor,
		stateChanged: make(chan struct{}),
		poll:         os.NewFile(uintptr(fd), "grpclb reactor"),
		stopped:      make(chan struct{}),
		peers:        make(map[string]string),
	}
	raw, err := d.poll.SyscallConn()
	if err != nil {
		d.poll.Close()
		return nil, err
	}
	if err := d.poll.SetReadDeadline(time.Time{}); err != nil {
		d.poll.Close()
		return nil, err
	}
	go func() {
		defer close(d.stopped)
		for {
			// It calls drive at first, and whenever the descriptor is readable.
			err := raw.Read(d.drive)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			// A limit that has passed would end the next Read before it has begun.
			d.mu.Lock()
			d.armed = time.Time{}
			d.poll.SetReadDeadline(d.armed)
			d.mu.Unlock()
		}
	}()
	return d, nil
}

// drive takes turns until there is nothing left to do. Whether it is over for good.
func (d *driver) drive(uintptr) bool {
	for {
		d.mu.Lock()
		if d.closed {
			d.mu.Unlock()
			return true
		}
		events, turn := d.reactor.PollEvents()
		woken := d.take(events, turn, d.woken[:0])
		if turn.Count < 0 {
			// The system refuses the poll, or worse: calls still end by their contexts.
			turn.Timeout = uint64(100 * time.Millisecond)
		}
		d.driving = len(events) > 0 || turn.Timeout == 0
		if !d.driving {
			d.arm(turn.Timeout)
		}
		again := d.driving
		d.mu.Unlock()
		for i, c := range woken {
			c.wake()
			woken[i] = nil
		}
		d.woken = woken[:0]
		if !again {
			return false
		}
		// Those it woke start their next calls, which the next turn writes.
		runtime.Gosched()
	}
}

// take hands a turn's events to their calls, and appends those to woken, to be woken without mu. mu is held.
func (d *driver) take(events []capi.Event, turn capi.Turn, woken []*call) []*call {
	for i := range events {
		event := &events[i]
		id := event.ID()
		if int(id.Index) >= len(d.calls) {
			continue
		}
		if c := d.calls[id.Index]; c != nil && c.id == id {
			c.take(d, event)
			woken = append(woken, c)
		}
	}
	d.note(turn)
	return woken
}

func (d *driver) note(turn capi.Turn) {
	if turn.Count < 0 {
		return
	}
	state := connectivity.State(turn.State)
	if state != d.state || turn.Ready != d.ready {
		d.state, d.ready = state, turn.Ready
		close(d.stateChanged)
		d.stateChanged = make(chan struct{})
	}
}

// commanded comes after commands: what they made is written, now or by the next turn. mu is held.
func (d *driver) commanded() {
	if d.driving || d.closed {
		return
	}
	turn := d.reactor.Flush()
	d.note(turn)
	d.arm(turn.Timeout)
}

// arm sees to it that the next turn is at most that many nanoseconds away. mu is held.
func (d *driver) arm(nanos uint64) {
	if nanos > math.MaxInt64 {
		return
	}
	// A limit that is too early costs one turn, setting it every time would cost more.
	when := time.Now().Add(time.Duration(nanos))
	if d.armed.IsZero() || when.Before(d.armed) {
		d.armed = when
		d.poll.SetReadDeadline(when)
	}
}

// start starts a call. mu is held.
func (d *driver) start(c *call, flags uint32, path string, metadata []byte, timeout uint64, max uint32, request []byte) int32 {
	id, result := d.reactor.Start(flags, path, metadata, timeout, max, request)
	if result < 0 {
		return result
	}
	for int(id.Index) >= len(d.calls) {
		d.calls = append(d.calls, nil)
	}
	c.id = id
	d.calls[id.Index] = c
	d.commanded()
	return 0
}

// forget cancels a call, if it runs, and lets go of it. mu is held.
func (d *driver) forget(c *call) {
	if d.closed || d.calls[c.id.Index] != c {
		return
	}
	d.calls[c.id.Index] = nil
	d.reactor.Forget(c.id)
	d.commanded()
}

// peer is a peer's text, of which there are few.
func (d *driver) peer(text []byte) string {
	if known, ok := d.peers[string(text)]; ok {
		return known
	}
	if len(d.peers) > 10_000 {
		clear(d.peers)
	}
	made := string(text)
	d.peers[made] = made
	return made
}

// close ends all calls and the goroutine. Whether it was open.
func (d *driver) close() bool {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		<-d.stopped
		return false
	}
	// What streams have not received goes with the reactor: io.EOF must not say that there was nothing.
	streams := make(map[*clientStream]error)
	for _, c := range d.calls {
		if c != nil && c.stream != nil {
			streams[c.stream] = c.stream.lose(ErrClosed)
		}
	}
	d.reactor.Close()
	var woken []*call
	for {
		events, turn := d.reactor.PollEvents()
		woken = d.take(events, turn, woken)
		if len(events) == 0 {
			break
		}
	}
	for _, c := range d.calls {
		// A reactor that fails does not tell of them.
		if c != nil && !c.ended {
			c.ended, c.code, c.message = true, int32(codes.Canceled), "the ClientConn is closed"
			woken = append(woken, c)
		}
	}
	d.closed = true
	d.reactor.Free()
	d.calls = nil
	d.mu.Unlock()
	for _, c := range woken {
		c.wake()
	}
	d.poll.Close()
	<-d.stopped
	for s, err := range streams {
		s.call.wake()
		s.finished(err)
	}
	return true
}
