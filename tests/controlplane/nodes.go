package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	nodePrefix = "edge-node-"
	// The node lifecycle controller gives a node up after 40 s without a renewal.
	leaseSeconds = 40
	leaseRenewal = 10 * time.Second
	// How long one refused call to the API server waits before the next try.
	retryDelay = 50 * time.Millisecond
)

// runNodes registers nodes and plays kubelet for every Pod that is bound to
// one of them, until the process is killed.
func runNodes(arguments []string) error {
	flags := flag.NewFlagSet("nodes", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "file that says where the API server is")
	count := flags.Int("count", 1, "number of nodes")
	images := flags.String("images", "", "comma-separated images that every node says it holds")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig %q: %w", *kubeconfig, err)
	}
	config.QPS, config.Burst = 1000, 2000
	// Protobuf: parsing JSON would cost more than all the rest of this process.
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = config.ContentType + ",application/json"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	ctx := context.Background()
	for number := range *count {
		name := fmt.Sprintf("%s%d", nodePrefix, number)
		retry(ctx, "register node "+name, func() error {
			return register(ctx, client, name, strings.Split(*images, ","))
		})
		go keepLease(ctx, client, name)
	}
	watchPods(ctx, client)
	select {}
}

// register creates the node, or brings the one that is there up to date.
func register(ctx context.Context, client kubernetes.Interface, name string, images []string) error {
	nodes := client.CoreV1().Nodes()
	fresh := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64",
	}}}
	if _, err := nodes.Create(ctx, fresh, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	node, err := nodes.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	node.Status = nodeStatus(images)
	if node, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	// The admission plug-in taints every new node as not ready.
	if len(node.Spec.Taints) == 0 {
		return nil
	}
	node.Spec.Taints = nil
	_, err = nodes.Update(ctx, node, metav1.UpdateOptions{})
	return err
}

func nodeStatus(images []string) corev1.NodeStatus {
	now := metav1.Now()
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("64"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("5000"),
	}
	status := corev1.NodeStatus{
		Capacity: capacity, Allocatable: capacity,
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}},
		Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
			Message: "simulated", LastHeartbeatTime: now, LastTransitionTime: now,
		}},
		NodeInfo: corev1.NodeSystemInfo{Architecture: "arm64", OperatingSystem: "linux", OSImage: "simulated", KubeletVersion: "v1.37.2"},
	}
	for _, image := range images {
		if image != "" {
			status.Images = append(status.Images, corev1.ContainerImage{Names: []string{image}, SizeBytes: 1 << 20})
		}
	}
	return status
}

func keepLease(ctx context.Context, client kubernetes.Interface, name string) {
	leases := client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	for {
		seconds, now := int32(leaseSeconds), metav1.NowMicro()
		spec := coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now}
		retry(ctx, "renew the lease of "+name, func() error {
			lease, err := leases.Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
				_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
				return err
			}
			if err != nil {
				return err
			}
			lease.Spec = spec
			_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
			return err
		})
		time.Sleep(leaseRenewal)
	}
}

func watchPods(ctx context.Context, client kubernetes.Interface) {
	kubelet := newKubelet(ctx, client)
	factory := informers.NewSharedInformerFactory(client, 0)
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    kubelet.seen,
		UpdateFunc: func(_, object any) { kubelet.seen(object) },
		DeleteFunc: kubelet.gone,
	}
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(handler); err != nil {
		fail(1, err)
	}
	factory.Start(ctx.Done())
}

// retry calls until the call succeeds or the context ends; it says once what fails.
func retry(ctx context.Context, what string, call func() error) {
	for said := false; ; {
		err := call()
		if err == nil {
			return
		}
		if !said {
			fmt.Fprintf(os.Stderr, "%s: %v; trying again\n", what, err)
			said = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryDelay):
		}
	}
}
