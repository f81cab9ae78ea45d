// Command controlplane is a whole Kubernetes control plane in one binary, for
// tests on a machine without a container engine: one sub-command a component,
// one process a component, because their global flags and feature gates
// collide within one process.
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

const usage = `usage: controlplane COMPONENT [FLAG...]
components:
  etcd DIR CLIENT_URL PEER_URL
  kube-apiserver | kube-controller-manager | kube-scheduler  with their own flags
  nodes --kubeconfig FILE [--count N] [--images A,B]         simulated kubelets`

func main() {
	if len(os.Args) < 2 {
		fail(2, usage)
	}
	component := os.Args[1]
	os.Args = append([]string{component}, os.Args[2:]...)
	switch component {
	case "etcd":
		if len(os.Args) != 4 {
			fail(2, usage)
		}
		if err := runEtcd(os.Args[1], os.Args[2], os.Args[3]); err != nil {
			fail(1, err)
		}
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "nodes":
		if err := runNodes(os.Args[1:]); err != nil {
			fail(1, err)
		}
	default:
		fail(2, usage)
	}
}

// runEtcd serves until it is told to stop. Nothing is synced to disk: the data
// must survive the death of the process, not that of the machine.
func runEtcd(dir, client, peer string) error {
	clientURL, err := url.Parse(client)
	if err != nil {
		return fmt.Errorf("client URL: %w", err)
	}
	peerURL, err := url.Parse(peer)
	if err != nil {
		return fmt.Errorf("peer URL: %w", err)
	}
	config := embed.NewConfig()
	config.Dir = dir
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*clientURL}, []url.URL{*clientURL}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peerURL}, []url.URL{*peerURL}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.UnsafeNoFsync = true
	config.LogLevel = "error"
	// The only member has nobody to wait for before it elects itself.
	config.TickMs, config.ElectionMs = 10, 100
	server, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("start etcd in %s: %w", dir, err)
	}
	defer server.Close()
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		return fmt.Errorf("etcd in %s is not ready after 30 s", dir)
	}
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	select {
	case <-stopped.Done():
		return nil
	case err := <-server.Err():
		return fmt.Errorf("serve etcd in %s: %w", dir, err)
	}
}

func fail(code int, what any) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(code)
}
