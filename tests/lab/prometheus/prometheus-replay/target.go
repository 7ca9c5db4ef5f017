package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// Target is a process that is scraped, with what it answers from when to when.
type Target struct {
	// Labels such as job and instance.
	Labels map[string]string `json:"labels"`
	Times  []Time            `json:"times"`
}

// Time is a while in which a target goes on answering the same.
type Time struct {
	Seconds float64 `json:"seconds"`
	// What it answers; nothing where the scrape fails.
	Text *string `json:"text"`
	// Metrics that go on with the clock meanwhile, as the time of the last look does while an endpoint is seen.
	Moving []string `json:"moving"`
}

// contentType is what our controller says.
const contentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

type sample struct {
	labels labels.Labels
	value  float64
	moves  bool
	isTime bool
}

type target struct {
	said    Target
	parsed  map[int][]sample
	refs    map[string]storage.SeriesRef
	current map[string]labels.Labels
	names   map[string]bool
}

func newTarget(said Target) *target {
	return &target{
		said: said, parsed: map[int][]sample{}, refs: map[string]storage.SeriesRef{},
		current: map[string]labels.Labels{}, names: map[string]bool{},
	}
}

func (t *target) end() time.Duration {
	end := 0.0
	for _, it := range t.said.Times {
		end += it.Seconds
	}
	return time.Duration(end * float64(time.Second))
}

// scrape appends what the target answers at that time, or that it does not. A series that is not there any more gets the mark that
// Prometheus gives it. A target whose times have ended is not known any more. What it answers is moved in time as a whole, as if it had
// been asked when its time begins.
func (t *target) scrape(appender storage.Appender, at time.Duration, milliseconds int64) error {
	begun := 0.0
	for index, it := range t.said.Times {
		within := at.Seconds() - begun
		if within >= it.Seconds {
			begun += it.Seconds
			continue
		}
		samples, err := t.samples(index)
		if err != nil {
			return err
		}
		up := 1.0
		if it.Text == nil {
			up = 0
		}
		now := map[string]labels.Labels{}
		for _, sample := range samples {
			value := sample.value
			if sample.isTime {
				value += begun
			}
			if sample.moves {
				value += within
			}
			if err := t.append(appender, now, sample.labels, milliseconds, value); err != nil {
				return err
			}
		}
		if err := t.append(appender, now, t.labelled(labels.FromStrings(labels.MetricName, "up")), milliseconds, up); err != nil {
			return err
		}
		return t.mark(appender, now, milliseconds)
	}
	return t.mark(appender, nil, milliseconds)
}

func (t *target) mark(appender storage.Appender, now map[string]labels.Labels, milliseconds int64) error {
	gone := math.Float64frombits(value.StaleNaN)
	for key, series := range t.current {
		if _, there := now[key]; there {
			continue
		}
		if _, err := appender.Append(t.refs[key], series, milliseconds, gone); err != nil {
			return err
		}
	}
	t.current = now
	return nil
}

func (t *target) append(appender storage.Appender, now map[string]labels.Labels, series labels.Labels, milliseconds int64, value float64) error {
	key := series.String()
	if _, twice := now[key]; twice {
		return fmt.Errorf("%s is there twice", key)
	}
	now[key] = series
	ref, err := appender.Append(t.refs[key], series, milliseconds, value)
	t.refs[key] = ref
	return err
}

func (t *target) samples(index int) ([]sample, error) {
	it := t.said.Times[index]
	if samples, known := t.parsed[index]; known || it.Text == nil {
		return samples, nil
	}
	parser, err := textparse.New([]byte(*it.Text), contentType, labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		return nil, err
	}
	var samples []sample
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var series labels.Labels
		parser.Labels(&series)
		_, _, value := parser.Series()
		name := series.Get(labels.MetricName)
		t.names[name] = true
		samples = append(samples, sample{
			labels: t.labelled(series), value: value,
			moves: slices.Contains(it.Moving, name), isTime: strings.HasSuffix(name, "_timestamp_seconds"),
		})
	}
	t.parsed[index] = samples
	return samples, nil
}

func (t *target) labelled(series labels.Labels) labels.Labels {
	builder := labels.NewBuilder(series)
	for name, value := range t.said.Labels {
		builder.Set(name, value)
	}
	return builder.Labels()
}
