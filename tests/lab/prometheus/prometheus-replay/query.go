package main

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

func seconds(duration model.Duration) float64 { return time.Duration(duration).Seconds() }

// used tells the metrics that an expression reads, and the longest time that it looks back.
func used(expr string) ([]string, float64, error) {
	tree, err := promQL.ParseExpr(expr)
	if err != nil {
		return nil, 0, err
	}
	metrics, longest := []string{}, time.Duration(0)
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.MatrixSelector:
			longest = max(longest, node.Range)
		case *parser.SubqueryExpr:
			longest = max(longest, node.Range)
		case *parser.VectorSelector:
			for _, matcher := range node.LabelMatchers {
				if matcher.Name == labels.MetricName && !slices.Contains(metrics, matcher.Value) {
					metrics = append(metrics, matcher.Value)
				}
			}
		}
		return nil
	})
	slices.Sort(metrics)
	return metrics, longest.Seconds(), nil
}

// Panel is what a dashboard of Grafana's shows, as far as it asks for anything.
type Panel struct {
	Title   string `json:"title"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
	Panels []Panel `json:"panels"`
}

// Query is one question of a dashboard's, and what it found.
type Query struct {
	Panel   string   `json:"panel"`
	Expr    string   `json:"expr"`
	Metrics []string `json:"metrics"`
	// The most series that it gave at once.
	Series int `json:"series"`
}

// What Grafana puts in place of its variables before it asks.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$tenant", ".*", "$provider", ".*")

func queries(panels []Panel) ([]*Query, error) {
	var all []*Query
	for _, panel := range panels {
		for _, target := range panel.Targets {
			expr := variables.Replace(target.Expr)
			metrics, _, err := used(expr)
			if err != nil {
				return nil, err
			}
			all = append(all, &Query{Panel: panel.Title, Expr: expr, Metrics: metrics})
		}
		inner, err := queries(panel.Panels)
		if err != nil {
			return nil, err
		}
		all = append(all, inner...)
	}
	return all, nil
}
