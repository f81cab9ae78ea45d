package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// kubelet writes the statuses that real kubelets would. One worker a Pod,
// known by the Pod's UID, so that a Pod that comes back under the same name
// (StatefulSet) starts anew.
type kubelet struct {
	ctx    context.Context
	client kubernetes.Interface

	mutex   sync.Mutex
	workers map[types.UID]*worker
	started uint32
}

type worker struct {
	cancel   context.CancelFunc
	deleting bool
}

func newKubelet(ctx context.Context, client kubernetes.Interface) *kubelet {
	return &kubelet{ctx: ctx, client: client, workers: map[types.UID]*worker{}}
}

func (k *kubelet) seen(object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok || !strings.HasPrefix(pod.Spec.NodeName, nodePrefix) {
		return
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	known := k.workers[pod.UID]
	if known != nil && (known.deleting || pod.DeletionTimestamp == nil) {
		return
	}
	if known != nil {
		known.cancel()
	}
	ctx, cancel := context.WithCancel(k.ctx)
	k.workers[pod.UID] = &worker{cancel: cancel, deleting: pod.DeletionTimestamp != nil}
	if pod.DeletionTimestamp != nil {
		go k.remove(ctx, pod.DeepCopy())
		return
	}
	k.started++
	go k.run(ctx, pod.DeepCopy(), k.started)
}

func (k *kubelet) gone(object any) {
	if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if known := k.workers[pod.UID]; known != nil {
		known.cancel()
		delete(k.workers, pod.UID)
	}
}

func (k *kubelet) remove(ctx context.Context, pod *corev1.Pod) {
	now := int64(0)
	options := metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID}}
	retry(ctx, "delete Pod "+pod.Namespace+"/"+pod.Name, func() error {
		err := k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, options)
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil
		}
		return err
	})
}

// behaviour is what a Pod's images ask for: see README.md.
type behaviour struct {
	missing bool
	crash   bool
	// Its registry cannot be reached.
	unreachable bool
	// How long its image is on its way.
	pull time.Duration
	// How long it runs well before it crashes.
	crashAfter time.Duration
	// How long it takes to become ready, or, for a Job, to end.
	slow time.Duration
	// It ends by itself: with success, or not.
	ends  bool
	fails bool
}

func behaviourOf(pod *corev1.Pod) behaviour {
	b := behaviour{ends: pod.Spec.RestartPolicy != corev1.RestartPolicyAlways}
	for _, container := range pod.Spec.Containers {
		if strings.Contains(container.Image, "missing") {
			b.missing = true
		}
		b.unreachable = b.unreachable || strings.Contains(container.Image, "unreachable")
		if at := strings.Index(container.Image, "pull"); at >= 0 {
			b.pull = leadingSeconds(container.Image[at+len("pull"):])
		}
		if strings.Contains(container.Image, "failjob") {
			b.fails = true
		}
		if at := strings.Index(container.Image, "crash"); at >= 0 {
			b.crash = true
			b.crashAfter = leadingSeconds(container.Image[at+len("crash"):])
		}
		if at := strings.Index(container.Image, "slow"); at >= 0 {
			b.slow = leadingSeconds(container.Image[at+len("slow"):])
		}
	}
	return b
}

func leadingSeconds(text string) time.Duration {
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	seconds, err := strconv.Atoi(text[:end])
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func (k *kubelet) run(ctx context.Context, pod *corev1.Pod, number uint32) {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return
	}
	wants := behaviourOf(pod)
	life := podLife{kubelet: k, ctx: ctx, pod: pod, ip: fmt.Sprintf("10.42.%d.%d", number/250%250, number%250+2), started: metav1.Now()}
	if wants.missing {
		life.write(corev1.PodPending, waiting("ImagePullBackOff", "Back-off pulling image: not found (simulated)", 0))
		return
	}
	if wants.unreachable {
		message := "Back-off pulling image: failed to do request: dial tcp 192.0.2.1:443: i/o timeout (simulated)"
		life.write(corev1.PodPending, waiting("ImagePullBackOff", message, 0))
		return
	}
	// After a restart of this process the Pods of its predecessor run on.
	if !life.alreadyRuns(wants) {
		if wants.pull > 0 {
			life.write(corev1.PodPending, waiting("ContainerCreating", "", 0))
			if !life.sleep(wants.pull) {
				return
			}
		}
		if wants.slow > 0 {
			life.write(corev1.PodRunning, running(false))
			if !life.sleep(wants.slow) {
				return
			}
		}
		life.write(corev1.PodRunning, running(!wants.crash || wants.crashAfter > 0))
	}
	switch {
	case wants.crash:
		if life.sleep(wants.crashAfter) {
			life.crashLoop()
		}
	case wants.ends && wants.fails:
		life.write(corev1.PodFailed, terminated(1, "Error"))
	case wants.ends:
		life.write(corev1.PodSucceeded, terminated(0, "Completed"))
	}
}

// podLife writes what becomes of one Pod.
type podLife struct {
	kubelet *kubelet
	ctx     context.Context
	pod     *corev1.Pod
	ip      string
	started metav1.Time
}

func (l *podLife) alreadyRuns(wants behaviour) bool {
	if l.pod.Status.Phase != corev1.PodRunning || l.pod.Status.PodIP == "" {
		return false
	}
	l.ip = l.pod.Status.PodIP
	for _, container := range l.pod.Status.ContainerStatuses {
		if !container.Ready {
			return wants.crash
		}
	}
	return true
}

// crashLoop restarts for ever, at a pace that doubles as that of a real kubelet does.
func (l *podLife) crashLoop() {
	restarts := int32(1)
	for _, container := range l.pod.Status.ContainerStatuses {
		restarts = max(restarts, container.RestartCount+1)
	}
	for delay := time.Second; ; delay = min(2*delay, 5*time.Minute) {
		message := "back-off " + delay.String() + " restarting failed container (simulated)"
		l.write(corev1.PodRunning, waiting("CrashLoopBackOff", message, restarts))
		if !l.sleep(delay) {
			return
		}
		restarts++
	}
}

func (l *podLife) sleep(duration time.Duration) bool {
	if duration == 0 {
		return l.ctx.Err() == nil
	}
	select {
	case <-l.ctx.Done():
		return false
	case <-time.After(duration):
		return true
	}
}

type containerStatus func(now metav1.Time, status *corev1.ContainerStatus)

func running(ready bool) containerStatus {
	return func(now metav1.Time, status *corev1.ContainerStatus) {
		status.Ready, status.Started = ready, &ready
		status.State.Running = &corev1.ContainerStateRunning{StartedAt: now}
	}
}

func waiting(reason, message string, restarts int32) containerStatus {
	return func(now metav1.Time, status *corev1.ContainerStatus) {
		no := false
		status.Started, status.RestartCount = &no, restarts
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
		if restarts > 0 {
			terminated(1, "Error")(now, status)
			status.LastTerminationState, status.State.Terminated = corev1.ContainerState{Terminated: status.State.Terminated}, nil
		}
	}
}

func terminated(code int32, reason string) containerStatus {
	return func(now metav1.Time, status *corev1.ContainerStatus) {
		status.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, StartedAt: now, FinishedAt: now}
	}
}

// write replaces the Pod's status. A merge patch with the UID needs no fresh
// resource version, and is refused when another Pod has taken the name.
func (l *podLife) write(phase corev1.PodPhase, container containerStatus) {
	now := metav1.Now()
	status := corev1.PodStatus{Phase: phase, HostIP: "127.0.0.1", HostIPs: []corev1.HostIP{{IP: "127.0.0.1"}}, StartTime: &l.started}
	if phase != corev1.PodPending {
		status.PodIP, status.PodIPs = l.ip, []corev1.PodIP{{IP: l.ip}}
	}
	ready := corev1.ConditionTrue
	for _, spec := range l.pod.Spec.Containers {
		one := corev1.ContainerStatus{Name: spec.Name, Image: spec.Image, ImageID: spec.Image}
		container(now, &one)
		if !one.Ready {
			ready = corev1.ConditionFalse
		}
		status.ContainerStatuses = append(status.ContainerStatuses, one)
	}
	for _, condition := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		value := corev1.ConditionTrue
		if condition == corev1.ContainersReady || condition == corev1.PodReady {
			value = ready
		}
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: condition, Status: value, LastTransitionTime: now})
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": l.pod.UID}, "status": status})
	if err != nil {
		fail(1, err)
	}
	retry(l.ctx, "write the status of Pod "+l.pod.Namespace+"/"+l.pod.Name, func() error {
		_, err := l.kubelet.client.CoreV1().Pods(l.pod.Namespace).Patch(l.ctx, l.pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsInvalid(err) {
			return nil
		}
		return err
	})
}
