// Greeter_client calls helloworld.Greeter/SayHello over a balanced channel and tells which peers served the calls.
//
// Exit codes: 0 when every call was OK, 2 for bad arguments (a target or service config that does not parse included),
// else 64 + the status code of the first call that failed, with NAME: message on standard error.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"grpclb"
	"grpclb/examples/helloworld"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const (
	patience = 30 * time.Second // of --wait-ready
	picks    = 64               // that picks_first shows
)

// args are the command line's.
type args struct {
	target, serviceConfig, name                    string
	calls, concurrency, deadline, interval, readys uint64
	waitForReady, json                             bool
	given                                          map[string]bool
}

// help and the order of the flags.
var flags = [][3]string{
	{"target", "TARGET", "dns:///host:port, ipv4:a:p,b:p, ipv6:, unix:path or file:///path (required)"},
	{"service-config", "JSON", "gRPC's service config; without it: pick_first"},
	{"calls", "N", "how many calls [default: 1]"},
	{"concurrency", "C", "how many of them at a time, a goroutine each [default: 1]"},
	{"deadline-ms", "D", "deadline of each call; without it: none"},
	{"interval-ms", "N", "each goroutine waits so long between its calls [default: 0]"},
	{"wait-ready", "K", "start the calls when K endpoints are READY (waits 30 s at most)"},
	{"wait-for-ready", "", "calls wait through TRANSIENT_FAILURE instead of failing fast"},
	{"name", "NAME", "whom to greet [default: world]"},
	{"json", "", "print one line of JSON"},
}

func parse() args {
	a := args{given: map[string]bool{}}
	set := flag.NewFlagSet("greeter_client", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&a.target, "target", "", "")
	set.StringVar(&a.serviceConfig, "service-config", "", "")
	set.StringVar(&a.name, "name", "world", "")
	number := func(at *uint64, name string, value uint64) {
		*at = value
		set.Func(name, "", func(text string) (err error) {
			if *at, err = strconv.ParseUint(text, 10, 64); err != nil {
				err = errors.New("expected a number from 0 up, in range")
			}
			return err
		})
	}
	number(&a.calls, "calls", 1)
	number(&a.concurrency, "concurrency", 1)
	number(&a.deadline, "deadline-ms", 0)
	number(&a.interval, "interval-ms", 0)
	number(&a.readys, "wait-ready", 0)
	set.BoolVar(&a.waitForReady, "wait-for-ready", false, "")
	set.BoolVar(&a.json, "json", false, "")
	switch err := set.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		help()
	case err != nil:
		refuse(err.Error())
	case set.NArg() > 0:
		refuse(set.Arg(0) + ": unexpected argument (--help explains)")
	}
	set.Visit(func(f *flag.Flag) { a.given[f.Name] = true })
	if !a.given["target"] {
		refuse("--target TARGET is missing (--help explains)")
	}
	if a.concurrency < 1 || a.concurrency > 4096 {
		refuse("--concurrency: expected a number from 1 to 4096")
	}
	return a
}

func help() {
	fmt.Print("Calls helloworld.Greeter/SayHello over a balanced channel and tells which peers served the calls.\n" +
		"Exit code: 0 all calls OK; 2 bad arguments; else 64 + status code of the first call that failed.\n\n" +
		"Usage: greeter_client --target TARGET [FLAGS]\n\nFlags (--flag value or --flag=value):\n")
	for _, f := range flags {
		fmt.Printf("  %-22s  %s\n", "--"+strings.TrimSpace(f[0]+" "+f[1]), f[2])
	}
	os.Exit(0)
}

func refuse(words string) {
	fmt.Fprintln(os.Stderr, "greeter_client: "+oneLine(words))
	os.Exit(2)
}

func main() {
	a := parse()
	var options []grpclb.Option
	if a.given["service-config"] {
		options = append(options, grpclb.WithServiceConfig(a.serviceConfig))
	}
	conn, err := grpclb.NewClient(a.target, options...)
	if err != nil {
		refuse(err.Error())
	}
	defer conn.Close()
	if a.given["wait-ready"] {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if conn.WaitForReadyEndpoints(ctx, int(min(a.readys, math.MaxInt32))) != nil {
			states := conn.Endpoints()
			if states == "" {
				states = "no endpoints"
			}
			fail(status.Newf(codes.Unavailable, "not %d endpoints were READY within %v: %s", a.readys, patience, states))
		}
	}
	t := tally{peers: map[string]uint64{}, status: map[codes.Code]uint64{}}
	began := time.Now()
	t.run(&a, helloworld.NewGreeterClient(conn))
	var text string
	if a.json {
		text = t.json()
	} else {
		text = t.table(time.Since(began), a.concurrency)
	}
	if _, err := os.Stdout.WriteString(text); err != nil {
		fmt.Fprintln(os.Stderr, "greeter_client: standard output:", err)
		os.Exit(1)
	}
	if t.failure != nil {
		fail(t.failure)
	}
}

// codeName is the specification's spelling: grpc-go's own is CamelCase.
func codeName(code codes.Code) string {
	names := strings.Fields("OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS " +
		"PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL " +
		"UNAVAILABLE DATA_LOSS UNAUTHENTICATED")
	if int(code) < len(names) {
		return names[code]
	}
	return strconv.Itoa(int(code))
}

func fail(s *status.Status) {
	fmt.Fprintln(os.Stderr, oneLine(codeName(s.Code())+": "+s.Message()))
	os.Exit(int(min(64+uint32(s.Code()), 255)))
}

// oneLine: what a server sent stays on its line, and moves no cursor.
func oneLine(text string) string {
	var out strings.Builder
	for _, c := range text {
		if unicode.IsControl(c) {
			out.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		} else {
			out.WriteRune(c)
		}
	}
	return out.String()
}

// A pick is which endpoint was picked as the how-manieth.
type pick struct {
	order uint64
	peer  string
}

// tally is what came of the calls.
type tally struct {
	mu      sync.Mutex
	calls   uint64
	peers   map[string]uint64
	status  map[codes.Code]uint64
	picks   []pick
	answer  string
	failure *status.Status
}

func (t *tally) run(a *args, greeter helloworld.GreeterClient) {
	var started atomic.Uint64
	var group sync.WaitGroup
	for range a.concurrency {
		group.Go(func() {
			for first := true; started.Add(1) <= a.calls; first = false {
				if !first && a.interval > 0 {
					time.Sleep(time.Duration(min(a.interval, math.MaxInt64/1_000_000)) * time.Millisecond)
				}
				t.call(a, greeter)
			}
		})
	}
	group.Wait()
}

func (t *tally) call(a *args, greeter helloworld.GreeterClient) {
	ctx := context.Background()
	if a.given["deadline-ms"] {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, time.Duration(min(a.deadline, math.MaxInt64/1_000_000))*time.Millisecond)
		defer cancel()
	}
	var by peer.Peer
	var order uint64
	reply, err := greeter.SayHello(ctx, &helloworld.HelloRequest{Name: a.name},
		grpc.Peer(&by), grpclb.PickOrder(&order), grpc.WaitForReady(a.waitForReady))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	t.status[status.Code(err)]++
	if by.Addr != nil {
		t.peers[by.Addr.String()]++
	}
	if err != nil {
		if t.failure == nil {
			t.failure = status.Convert(err)
		}
		return
	}
	t.answer = reply.GetMessage()
	t.picks = append(t.picks, pick{order, by.Addr.String()})
	if len(t.picks) >= 2*picks {
		t.earliest()
	}
}

// earliest keeps the first picks.
func (t *tally) earliest() []pick {
	sort.Slice(t.picks, func(i, j int) bool { return t.picks[i].order < t.picks[j].order })
	t.picks = t.picks[:min(len(t.picks), picks)]
	return t.picks
}

func (t *tally) json() string {
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	quoted := func(text string) string {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.Encode(text)
		return strings.TrimSpace(b.String())
	}
	fmt.Fprintf(w, `{"calls":%d,"peers":{`, t.calls)
	for i, name := range t.names() {
		fmt.Fprintf(w, "%s%s:%d", strings.Repeat(",", min(i, 1)), quoted(name), t.peers[name])
	}
	fmt.Fprint(w, `},"status":{`)
	for i, code := range t.codes() {
		fmt.Fprintf(w, "%s%s:%d", strings.Repeat(",", min(i, 1)), quoted(codeName(code)), t.status[code])
	}
	fmt.Fprint(w, `},"picks_first":[`)
	for i, p := range t.earliest() {
		fmt.Fprintf(w, "%s%s", strings.Repeat(",", min(i, 1)), quoted(p.peer))
	}
	fmt.Fprintln(w, "]}")
	w.Flush()
	return out.String()
}

func (t *tally) names() []string {
	var names []string
	for name := range t.peers {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (t *tally) codes() []codes.Code {
	var all []codes.Code
	for code := range t.status {
		all = append(all, code)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	return all
}

func (t *tally) table(took time.Duration, concurrency uint64) string {
	word := "calls"
	if t.calls == 1 {
		word = "call"
	}
	out := fmt.Sprintf("%d %s, %d at a time, in %.2f s (%.0f a second)\n", t.calls, word, concurrency, took.Seconds(),
		float64(t.calls)/took.Seconds())
	var all uint64
	for _, calls := range t.peers {
		all += calls
	}
	for _, name := range t.names() {
		out += fmt.Sprintf("  %-21s  %8d  %5.1f %%\n", name, t.peers[name], float64(t.peers[name])/float64(all)*100)
	}
	for _, code := range t.codes() {
		out += fmt.Sprintf("  %-21s  %8d\n", codeName(code), t.status[code])
	}
	if t.answer != "" {
		out += "the last answer: " + oneLine(t.answer) + "\n"
	}
	return out
}
