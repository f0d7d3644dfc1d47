# Runs PostgreSQL and ends it when the owner asks for that or is gone.
#
# Arguments: grace (seconds between a fast and an immediate shutdown once the owner is gone),
# the socket directory to remove at the end ("" for none), the directory to remove at the end
# ("" for none), then the command line of postgres. Standard input is a pipe held by the owner:
# a line "fast" or "immediate" asks for that kind of shutdown; end of file says that the owner
# has ended, perhaps by SIGKILL. The working directory is the data directory, which is how a
# later owner recognises this process.

grace=$1 socket=$2 remove=$3
shift 3

# A service manager may signal the whole control group: the owner decides, not this shell.
# postgres installs handlers of its own for each of these.
trap '' HUP INT TERM

exec 3<&0 </dev/null
"$@" 3<&- &
postgres=$!

(
    while read -r word <&3; do
        case $word in
        immediate) kill -s QUIT "$postgres" ;;
        *) kill -s INT "$postgres" ;;
        esac
    done
    # `sleep` must not hold the data directory as its working directory, nor the pipe.
    cd /
    exec 3<&-
    # Repeated, as a postgres that has only just been started does not listen yet.
    waited=0
    while kill -s INT "$postgres" 2>/dev/null && [ "$waited" -lt "$grace" ]; do
        sleep 1
        waited=$((waited + 1))
    done
    kill -s QUIT "$postgres" 2>/dev/null && sleep 10 && kill -s KILL "$postgres" 2>/dev/null
) &
watcher=$!
exec 3<&-

wait "$postgres"
code=$?
kill -s KILL "$watcher" 2>/dev/null
if [ -n "$socket" ]; then rm -rf -- "$socket"; fi
if [ -n "$remove" ]; then cd / && rm -rf -- "$remove"; fi
exit "$code"
