# Runs on the board, by busybox, until the power is cut. The console is what the outside world sees:
#   FOUND {status}   what the store held at power-on, before an agent has touched it
#   ACK {status}     what the running agent has said; from then on it must be true after any cut
cat > /tmp/agent.toml <<CONFIG
[cluster]
name = "board"
kubeconfig = "/tmp/kubeconfig"
[source]
url = "http://10.0.2.100:8080/fleet.git"
allow_http = true
path = "apps"
interval = "100ms"
[store]
path = "/mnt/store"
CONFIG
cat > /tmp/kubeconfig <<CONFIG
apiVersion: v1
kind: Config
clusters: [{ name: none, cluster: { server: "http://127.0.0.1:9" } }]
users: [{ name: nobody, user: { token: none } }]
contexts: [{ name: none, context: { cluster: none, user: nobody } }]
current-context: none
CONFIG
export LEEWARD_CONFIG=/tmp/agent.toml
mkdir -p /run/leeward

found=$(leeward status --output json 2> /tmp/error) || found="{\"error\": \"$(tr -d '"\n' < /tmp/error)\"}"
echo "FOUND $(echo "$found" | tr -d '\n')"
# A database that could not be opened would have been set aside.
echo "FILES $(ls /mnt/store 2> /dev/null | tr '\n' ' ')"

leeward run > /tmp/log 2>&1 &
agent=$!
while kill -0 $agent 2> /dev/null; do
  said=$(leeward status --output json 2> /dev/null) && case $said in
    *'"running": true'*) echo "ACK $(echo "$said" | tr -d '\n')" ;;
  esac
  sleep 0.1
done
echo "FAULT the agent ended: $(tail -3 /tmp/log | tr '\n' ' ')"
