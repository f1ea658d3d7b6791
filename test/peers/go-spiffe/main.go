// Command go-spiffe-peer examines Countersign with go-spiffe, and is a trust domain beside it: each subcommand is one act.
// What it finds goes to standard output as one line of JSON; a refusal by go-spiffe ends it with code 1 and the reason on standard error.
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

const timeout = 20 * time.Second

var (
	flags       = flag.NewFlagSet("go-spiffe-peer", flag.ExitOnError)
	trustDomain = flags.String("td", "", "trust domain")
	file        = flags.String("file", "", "bundle document, or chain as PEM for verify")
	address     = flags.String("url", "", "what is asked")
	id          = flags.String("id", "", "SPIFFE ID that the other end must have")
	bundles     = flags.String("bundles", "", "TRUST_DOMAIN=FILE,…: bundle documents by trust domain")
	roots       = flags.String("roots", "", "PEM of web roots")
	chain       = flags.String("cert", "", "chain as PEM")
	key         = flags.String("key", "", "PKCS#8 as PEM")
	out         = flags.String("out", "", "folder that is written to")
	sequence    = flags.Uint64("sequence", 1, "spiffe_sequence of the domain's bundle")
	hint        = flags.Duration("hint", 5*time.Minute, "spiffe_refresh_hint of the domain's bundle")
)

var acts = map[string]func() (any, error){
	"domain":       makeDomain,
	"parse":        parse,
	"verify":       verify,
	"fetch-web":    fetchWeb,
	"fetch-spiffe": fetchSPIFFE,
	"serve-bundle": serveBundle,
	"client":       client,
	"server":       server,
}

func main() {
	act, found := acts[os.Args[min(1, len(os.Args)-1)]]
	if !found {
		fmt.Fprintln(os.Stderr, "no such act")
		os.Exit(2)
	}
	_ = flags.Parse(os.Args[2:])
	answer, err := act()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(answer)
}

type shownBundle struct {
	TrustDomain string   `json:"trustDomain"`
	Sequence    *uint64  `json:"sequence"`
	HintSeconds *float64 `json:"hintSeconds"`
	Authorities []string `json:"authorities"`
}

func show(bundle *spiffebundle.Bundle) shownBundle {
	shown := shownBundle{TrustDomain: bundle.TrustDomain().Name(), Authorities: []string{}}
	if number, ok := bundle.SequenceNumber(); ok {
		shown.Sequence = &number
	}
	if wait, ok := bundle.RefreshHint(); ok {
		seconds := wait.Seconds()
		shown.HintSeconds = &seconds
	}
	for _, authority := range bundle.X509Authorities() {
		shown.Authorities = append(shown.Authorities, authority.Subject.String())
	}
	return shown
}

func parse() (any, error) {
	domain, err := spiffeid.TrustDomainFromString(*trustDomain)
	if err != nil {
		return nil, err
	}
	bundle, err := spiffebundle.Load(domain, *file)
	if err != nil {
		return nil, err
	}
	return show(bundle), nil
}

// loadBundles keeps the bundles apart, each by its trust domain.
func loadBundles() (x509bundle.Source, error) {
	set := spiffebundle.NewSet()
	for _, item := range strings.Split(*bundles, ",") {
		name, path, _ := strings.Cut(item, "=")
		domain, err := spiffeid.TrustDomainFromString(name)
		if err != nil {
			return nil, err
		}
		bundle, err := spiffebundle.Load(domain, path)
		if err != nil {
			return nil, err
		}
		set.Add(bundle)
	}
	return set, nil
}

func verify() (any, error) {
	source, err := loadBundles()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(*file)
	if err != nil {
		return nil, err
	}
	var raw [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		raw = append(raw, block.Bytes)
	}
	found, chains, err := x509svid.ParseAndVerify(raw, source)
	if err != nil {
		return nil, err
	}
	return map[string]any{"id": found.String(), "chains": len(chains)}, nil
}

func fetchWeb() (any, error) {
	text, err := os.ReadFile(*roots)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return fetch(federation.WithWebPKIRoots(pool))
}

func fetchSPIFFE() (any, error) {
	source, err := loadBundles()
	if err != nil {
		return nil, err
	}
	endpoint, err := spiffeid.FromString(*id)
	if err != nil {
		return nil, err
	}
	return fetch(federation.WithSPIFFEAuth(source, endpoint))
}

func fetch(option federation.FetchOption) (any, error) {
	domain, err := spiffeid.TrustDomainFromString(*trustDomain)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	bundle, err := federation.FetchBundle(ctx, domain, *address, option)
	if err != nil {
		return nil, err
	}
	return show(bundle), nil
}

// fileSource reads the document anew for each request, so that a test changes what is published by writing a file.
type fileSource struct{ path string }

func (source fileSource) GetBundleForTrustDomain(domain spiffeid.TrustDomain) (*spiffebundle.Bundle, error) {
	return spiffebundle.Load(domain, source.path)
}

func serveBundle() (any, error) {
	domain, err := spiffeid.TrustDomainFromString(*trustDomain)
	if err != nil {
		return nil, err
	}
	handler, err := federation.NewHandler(domain, fileSource{*file})
	if err != nil {
		return nil, err
	}
	return nil, listen(func(listener net.Listener) error {
		svid, err := x509svid.Load(*chain, *key)
		if err != nil {
			// A certificate of the web: no SPIFFE ID.
			return http.ServeTLS(listener, handler, *chain, *key)
		}
		server := http.Server{Handler: handler, TLSConfig: tlsconfig.TLSServerConfig(svid), ReadHeaderTimeout: timeout}
		return server.ServeTLS(listener, "", "")
	})
}

func client() (any, error) {
	svid, source, peer, err := mutual()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: tlsconfig.MTLSClientConfig(svid, source, tlsconfig.AuthorizeID(peer))}
	asking := http.Client{Transport: transport, Timeout: timeout}
	response, err := asking.Get(*address)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	return map[string]any{"status": response.StatusCode, "body": string(body)}, nil
}

func server() (any, error) {
	svid, source, peer, err := mutual()
	if err != nil {
		return nil, err
	}
	handler := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		caller, err := x509svid.IDFromCert(request.TLS.PeerCertificates[0])
		if err != nil {
			http.Error(writer, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(writer, "hello %s", caller)
	})
	config := tlsconfig.MTLSServerConfig(svid, source, tlsconfig.AuthorizeID(peer))
	return nil, listen(func(listener net.Listener) error {
		serving := http.Server{Handler: handler, TLSConfig: config, ReadHeaderTimeout: timeout}
		return serving.ServeTLS(listener, "", "")
	})
}

func mutual() (*x509svid.SVID, x509bundle.Source, spiffeid.ID, error) {
	svid, err := x509svid.Load(*chain, *key)
	if err != nil {
		return nil, nil, spiffeid.ID{}, err
	}
	source, err := loadBundles()
	if err != nil {
		return nil, nil, spiffeid.ID{}, err
	}
	peer, err := spiffeid.FromString(*id)
	return svid, source, peer, err
}

// listen tells its port as the first line, and serves until standard input ends.
func listen(serve func(net.Listener) error) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
