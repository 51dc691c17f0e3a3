// The peer of `cargo bench --bench webhook` in Go: net/http, the signature checked, the session read, a record of it
// appended to a file, and synced together with those that came while the last ones were.
//
// Arguments: the secret, the path, the file. Writes the port that it listens on, and serves until it is killed.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type session struct {
	EventType string `json:"eventType"`
	ID        string `json:"id"`
	Type      string `json:"type"`
	Platform  string `json:"platform"`
	Direction string `json:"direction"`
	State     string `json:"state"`
	AgentID   string `json:"agentId"`
	CreatedAt string `json:"createdAt"`
	EndedAt   string `json:"endedAt"`
	Analysis  struct {
		Intent struct {
			Conversation struct {
				Intent     string  `json:"intent"`
				Confidence float64 `json:"confidence"`
			} `json:"conversation"`
		} `json:"intent"`
		Resolution struct {
			Classification  string  `json:"classification"`
			ConfidenceScore float64 `json:"confidenceScore"`
		} `json:"resolution"`
		Sentiment struct {
			Conversation struct {
				Sentiment        string  `json:"sentiment"`
				Score            float64 `json:"score"`
				DetectedLanguage string  `json:"detectedLanguage"`
			} `json:"conversation"`
		} `json:"sentiment"`
	} `json:"analysis"`
}

type record struct {
	text string
	done chan struct{}
}

func main() {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Args[1], "whsec_"))
	check(err)
	file, err := os.Create(os.Args[3])
	check(err)
	records := make(chan record, 1024)
	go appendAll(file, records)

	http.HandleFunc(os.Args[2], func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil || !signed(key, r.Header, body) {
			http.Error(w, "No.", http.StatusUnauthorized)
			return
		}
		var s session
		if json.Unmarshal(body, &s) != nil || s.ID == "" {
			http.Error(w, "No.", http.StatusBadRequest)
			return
		}
		created, err1 := time.Parse(time.RFC3339, s.CreatedAt)
		ended, err2 := time.Parse(time.RFC3339, s.EndedAt)
		if err1 != nil || err2 != nil {
			http.Error(w, "No.", http.StatusBadRequest)
			return
		}
		text := fmt.Sprintf("%s %s (%d, %d) %s %s\n", s.ID, s.AgentID, created.UnixMilli(), ended.UnixMilli(),
			s.Analysis.Resolution.Classification, s.Analysis.Sentiment.Conversation.Sentiment)
		done := make(chan struct{})
		records <- record{text, done}
		<-done
		io.WriteString(w, "Counted.\n")
	})
	http.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	check(http.Serve(listener, nil))
}

func signed(key []byte, headers http.Header, body []byte) bool {
	id, timestamp := headers.Get("svix-id"), headers.Get("svix-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, id+"."+timestamp+".")
	mac.Write(body)
	want := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for _, signature := range strings.Split(headers.Get("svix-signature"), " ") {
		if hmac.Equal(want, []byte(signature)) {
			return true
		}
	}
	return false
}

func appendAll(file *os.File, records chan record) {
	for first := range records {
		batch := []record{first}
		for waiting := true; waiting; {
			select {
			case next := <-records:
				batch = append(batch, next)
			default:
				waiting = false
			}
		}
		var text strings.Builder
		for _, r := range batch {
			text.WriteString(r.text)
		}
		_, err := file.WriteString(text.String())
		check(err)
		check(syscall.Fdatasync(int(file.Fd())))
		for _, r := range batch {
			close(r.done)
		}
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
