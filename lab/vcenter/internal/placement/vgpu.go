package placement

import "slices"

// Card is a graphics card that a host shares out as vGPUs: how many of each
// profile it takes when it is empty.
type Card struct {
	ID    string
	VGPUs map[string]int
}

// share is a card with what runs on it.
type share struct {
	card     Card
	profiles []string
	vms      []string
}

// takes says whether one more of the profile fits: a card has vGPUs of one size
// at a time, and profiles of one size are those of which it takes as many.
func (s *share) takes(profile string) bool {
	most := s.card.VGPUs[profile]
	for _, other := range s.profiles {
		if s.card.VGPUs[other] != most {
			return false
		}
	}
	return len(s.profiles) < most
}

// add puts all vGPUs of the virtual machine on the cards, the first that takes
// each, or none of them.
func add(shares []*share, vm VM) bool {
	var chosen []*share
	for _, profile := range vm.VGPUs {
		i := slices.IndexFunc(shares, func(s *share) bool { return s.takes(profile) })
		if i < 0 {
			for _, s := range chosen {
				s.profiles = s.profiles[:len(s.profiles)-1]
				s.vms = s.vms[:len(s.vms)-1]
			}
			return false
		}
		shares[i].profiles = append(shares[i].profiles, profile)
		shares[i].vms = append(shares[i].vms, vm.ID)
		chosen = append(chosen, shares[i])
	}
	return true
}

// sharesOf fills the host's cards with what is active there, except one.
func (s Site) sharesOf(h Host, except string) []*share {
	var shares []*share
	for _, card := range h.Cards {
		shares = append(shares, &share{card: card})
	}
	for _, vm := range s.VMs {
		if vm.Active && vm.Host == h.ID && vm.ID != except {
			add(shares, vm)
		}
	}
	return shares
}

// Users are the active virtual machines on each of the host's cards.
func (s Site) Users(hostID string) map[string][]string {
	h, _ := s.Host(hostID)
	users := map[string][]string{}
	for _, share := range s.sharesOf(h, "") {
		users[share.card.ID] = slices.Compact(share.vms)
	}
	return users
}

// shares says why the host's cards do not take the virtual machine's vGPUs, or nil.
func (s Site) shares(vm VM, h Host) *Refusal {
	for _, profile := range vm.VGPUs {
		if !slices.ContainsFunc(h.Cards, func(c Card) bool { return c.VGPUs[profile] > 0 }) {
			return refuse(ProfileMissing, "The host '%s' does not support the vGPU type '%s'.", h.Name, profile)
		}
	}
	if !add(s.sharesOf(h, vm.ID), vm) {
		return refuse(ProfileTaken, "The amount of graphics resource available in the parent resource pool is insufficient for the operation.")
	}
	return nil
}
