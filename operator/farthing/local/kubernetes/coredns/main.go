// Command farthing-coredns is CoreDNS with only the plugins that a one-node cluster needs.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
)

// The order is the order in which a query passes the plugins; it must name each imported one and no other.
func init() {
	dnsserver.Directives = []string{"bind", "health", "ready", "log", "errors", "cache", "kubernetes", "forward"}
}

func main() {
	coremain.Run()
}
