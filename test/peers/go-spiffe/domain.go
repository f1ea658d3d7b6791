package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// makeDomain makes an authority of a trust domain, an SVID each for its bundle endpoint (/endpoint) and a workload (/workload), and its bundle.
func makeDomain() (any, error) {
	domain, err := spiffeid.TrustDomainFromString(*trustDomain)
	if err != nil {
		return nil, err
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	self := template(domain.ID().String())
	self.Subject = pkix.Name{Organization: []string{domain.Name()}}
	self.IsCA, self.BasicConstraintsValid = true, true
	self.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, self, self, signer.Public(), signer)
	if err != nil {
		return nil, err
	}
	authority, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"endpoint", "workload"} {
		if err := makeSVID(domain, name, authority, signer); err != nil {
			return nil, err
		}
	}
	bundle := spiffebundle.FromX509Authorities(domain, []*x509.Certificate{authority})
	bundle.SetSequenceNumber(*sequence)
	bundle.SetRefreshHint(*hint)
	document, err := bundle.Marshal()
	if err != nil {
		return nil, err
	}
	return show(bundle), os.WriteFile(filepath.Join(*out, "bundle.json"), document, 0o600)
}

func makeSVID(domain spiffeid.TrustDomain, name string, authority *x509.Certificate, signer *ecdsa.PrivateKey) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := template(domain.ID().String() + "/" + name)
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	leaf.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, private.Public(), signer)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := writePEM(name+".pem", "CERTIFICATE", der); err != nil {
		return err
	}
	return writePEM(name+".key", "PRIVATE KEY", pkcs8)
}

func writePEM(name, label string, der []byte) error {
	return os.WriteFile(filepath.Join(*out, name), pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}), 0o600)
}

func template(id string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err)
	}
	uri, err := url.Parse(id)
	if err != nil {
		panic(err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(24 * time.Hour),
		URIs:         []*url.URL{uri},
	}
}
