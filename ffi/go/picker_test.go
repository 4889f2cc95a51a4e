package grpclb_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"grpclb"

	"google.golang.org/grpc/connectivity"
)

const roundRobin = `{"loadBalancingPolicy":"round_robin"}`

// readyPicker has endpoints of these weights, all Ready.
func readyPicker(t testing.TB, config string, weights ...uint32) *grpclb.Picker {
	t.Helper()
	picker := must(grpclb.NewPicker(grpclb.PickerConfig{Seed: 7}))
	picker.Connect(0)
	var endpoints []grpclb.Endpoint
	for i, weight := range weights {
		endpoints = append(endpoints, grpclb.Endpoint{Addresses: []string{fmt.Sprintf("10.0.0.%d:50051", i+1)}, Weight: weight})
	}
	if err := picker.HandleResolution(0, endpoints, config); err != nil {
		t.Fatal(err)
	}
	for action, ok := picker.PollAction(); ok; action, ok = picker.PollAction() {
		if action.Kind == grpclb.ActionConnect {
			picker.HandleSubchannel(0, action.Subchannel, grpclb.SubchannelReady)
		}
	}
	if picker.State() != connectivity.Ready || picker.ReadyCount() != len(weights) || picker.EndpointCount() != len(weights) {
		t.Fatal(picker.State(), picker.ReadyCount())
	}
	return picker
}

func TestPickerOfManyGoroutines(t *testing.T) {
	picker := readyPicker(t, roundRobin, 1, 1, 1, 1)
	var mu sync.Mutex
	shares := map[string]int{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			own := map[grpclb.Subchannel]int{}
			for range 1000 {
				s, result := picker.Pick(time.Second)
				if result != grpclb.PickSubchannel {
					t.Error(result)
				}
				own[s]++
			}
			mu.Lock()
			defer mu.Unlock()
			for s, n := range own {
				shares[picker.Address(s)] += n
			}
		})
	}
	group.Wait()
	for i := range 4 {
		if n := shares[fmt.Sprintf("10.0.0.%d:50051", i+1)]; n != 2000 {
			t.Error(shares)
		}
		e, ok := picker.Endpoint(i)
		if !ok || e.State != connectivity.Ready || e.Weight != 1 || e.Address != fmt.Sprintf("10.0.0.%d:50051", i+1) ||
			picker.Address(e.Subchannel) != e.Address || e.Subchannel.Index() > 10 {
			t.Error(e, ok)
		}
	}
	if allocations := testing.AllocsPerRun(1000, func() { picker.Pick(time.Second) }); allocations != 0 {
		t.Errorf("%v allocations a pick", allocations)
	}
	version := picker.Version()
	picker.Shutdown()
	if _, result := picker.Pick(time.Second); result != grpclb.PickFail || picker.Version() == version {
		t.Error(result)
	}
}

func TestPickerWeights(t *testing.T) {
	picker := readyPicker(t, `{"loadBalancingConfig":[{"weighted_round_robin":{}}]}`, 1, 2, 4)
	shares := map[string]int{}
	for range 7000 {
		s, _ := picker.Pick(0)
		shares[picker.Address(s)]++
	}
	for address, share := range map[string]int{"10.0.0.1:50051": 1000, "10.0.0.2:50051": 2000, "10.0.0.3:50051": 4000} {
		if d := shares[address] - share; d < -6 || d > 6 {
			t.Error(shares)
		}
	}
}

func TestPickerRefuses(t *testing.T) {
	picker := readyPicker(t, roundRobin, 1)
	for _, c := range []struct {
		endpoints []grpclb.Endpoint
		config    string
		unchanged bool
		text      string
	}{
		{[]grpclb.Endpoint{{}}, "{}", true, "endpoint 0 has no address"},
		{[]grpclb.Endpoint{{Addresses: []string{"10.0.0.1:1 7\n10.0.0.2:1"}}}, "{}", true, `endpoint 0: "10.0.0.1:1 7\n10.0.0.2:1" is no address`},
		{[]grpclb.Endpoint{{Addresses: []string{""}}}, "{}", true, `endpoint 0: "" is no address`},
		{nil, `{"loadBalancingPolicy":5}`, false, "service config: $.loadBalancingPolicy: expected the name of a policy"},
	} {
		var why *grpclb.ResolutionError
		err := picker.HandleResolution(0, c.endpoints, c.config)
		if !errors.As(err, &why) || why.Unchanged != c.unchanged || why.Text != c.text {
			t.Errorf("%v", err)
		}
	}
	err := picker.HandleResolution(0, []grpclb.Endpoint{{Addresses: []string{"nonsense"}, Weight: 1}}, "{}")
	var why *grpclb.ResolutionError
	if !errors.As(err, &why) || !why.Unchanged {
		t.Error(err)
	}
	// Numbers of no subchannel, moments before the beginning.
	picker.HandleSubchannel(-5, 0xffff_ffff, grpclb.SubchannelReady)
	picker.HandleSubchannel(0, 3, 99)
	if picker.Address(0xffff_ffff) != "" {
		t.Error(picker.Address(0xffff_ffff))
	}
	if _, ok := picker.Endpoint(-1); ok {
		t.Error("an endpoint -1")
	}
	if _, ok := picker.Endpoint(1000); ok {
		t.Error("an endpoint 1000")
	}
	if _, err := grpclb.NewPicker(grpclb.PickerConfig{MaxBackoff: -1}); err == nil {
		t.Error("a backoff below 0")
	}
	idle := must(grpclb.NewPicker(grpclb.PickerConfig{IdleTimeout: -1}))
	if due, ok := idle.PollTimeout(); ok {
		t.Error(due)
	}
}

func TestPickersAreCollected(t *testing.T) {
	for range 2000 {
		must(grpclb.NewPicker(grpclb.PickerConfig{})).Connect(0)
	}
	runtime.GC()
}

func BenchmarkPick(b *testing.B) {
	picker := readyPicker(b, roundRobin, 1, 1, 1)
	b.ReportAllocs()
	for b.Loop() {
		picker.Pick(0)
	}
}
