package grpclb

// CallsInTable is how many calls the driver knows.
func (cc *ClientConn) CallsInTable() (n int) {
	d := cc.driver
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		if c != nil {
			n++
		}
	}
	return n
}
