// The peer of the test `what_a_page_costs_prometheus` in Go: a page in the text format is read from a file, and client_golang's
// promhttp serves its families in whatever format it is asked for.
//
// Argument: the file. Writes the port that it listens on, and serves until it is killed.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"sort"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	file, err := os.Open(os.Args[1])
	check(err)
	var parser expfmt.TextParser
	parsed, err := parser.TextToMetricFamilies(file)
	check(err)
	families := make([]*dto.MetricFamily, 0, len(parsed))
	for _, family := range parsed {
		families = append(families, family)
	}
	sort.Slice(families, func(i, j int) bool { return families[i].GetName() < families[j].GetName() })
	gather := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, nil })
	http.Handle("/metrics", promhttp.HandlerFor(gather, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	check(http.Serve(listener, nil))
}
